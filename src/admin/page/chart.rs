//! An hour as a picture: a bar for each minute, its parts on top of each other.

use super::html::Page;
use super::words::Group;
use crate::metrics::Hour;
use crate::report::Outcome;

const WIDTH: u32 = 600;
const HEIGHT: u32 = 120;
const MINUTES: u32 = 60;

pub(super) fn draw(page: &mut Page, hour: &Hour) {
    let groups = Group::ALL.map(|group| (group, minutes_of(hour, group)));
    let highest =
        (0..MINUTES as usize).map(|minute| groups.iter().map(|(_, counts)| counts[minute]).sum::<u64>());
    let scale = f64::from(HEIGHT) / highest.max().unwrap_or(0).max(1) as f64;
    page.put(format_args!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Connections for each minute of the last hour\">"
    ));
    let mut tops = [f64::from(HEIGHT); MINUTES as usize];
    for (group, counts) in &groups {
        for (minute, (count, top)) in
            (0..).zip(counts.iter().zip(&mut tops)).filter(|(_, (count, _))| **count > 0)
        {
            let height = *count as f64 * scale;
            *top -= height;
            let (left, width) = (minute * (WIDTH / MINUTES), WIDTH / MINUTES - 1);
            page.put(format_args!(
                "<rect class=\"{}\" x=\"{left}\" y=\"{top:.1}\" width=\"{width}\" height=\"{height:.1}\"/>",
                group.class()
            ));
        }
    }
    page.put(format_args!("</svg><p class=\"axis\"><span>an hour ago</span><span>now</span></p>"));
}

fn minutes_of(hour: &Hour, group: Group) -> Vec<u64> {
    let mut counts = vec![0; MINUTES as usize];
    for outcome in Outcome::ALL.into_iter().filter(|outcome| Group::of(*outcome) == group) {
        counts.iter_mut().zip(hour.by_minute(outcome)).for_each(|(count, more)| *count += more);
    }
    counts
}

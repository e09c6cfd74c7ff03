//! From samples to a table: medians, and ratios with an interval that says how far they can be believed.

/// One contender's samples, one of each round.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) samples: Vec<f64>,
}

/// A ratio of two contenders: the median over the rounds, and where 95 of 100 resampled medians lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

const RESAMPLES: usize = 2_000;

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    }
}

/// The sample below which `share` of them lie.
pub(crate) fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Compares round by round, because what disturbs a round disturbs all its contenders.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Ratio {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pick = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ratios[(random % ratios.len() as u64) as usize]
    };
    let medians: Vec<f64> =
        (0..RESAMPLES).map(|_| median(&(0..ratios.len()).map(|_| pick()).collect::<Vec<_>>())).collect();
    Ratio { median: median(&ratios), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) }
}

/// Prints a table in Markdown: the first row is prescreen, and every other is what it is compared with.
pub(crate) fn print(title: &str, unit: &str, rows: &[Row]) {
    let Some((ours, _)) = rows.split_first() else { return };
    println!("\n**{title}**\n");
    println!("| | {unit} | prescreen ÷ it | 95 % |");
    println!("|---|---:|---:|---|");
    for (place, row) in rows.iter().enumerate() {
        let median = number(median(&row.samples));
        if place == 0 || row.samples.iter().all(|sample| *sample == 0.0) {
            println!("| {} | {median} | | |", row.name);
            continue;
        }
        let ratio = ratio(&ours.samples, &row.samples);
        println!("| {} | {median} | {:.2} | {:.2} to {:.2} |", row.name, ratio.median, ratio.low, ratio.high);
    }
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

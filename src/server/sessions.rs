//! Who is here: every connection that lives, by name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::id::Id;
use crate::report::Live;

/// All connections that live. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Id, Here>>>);

#[derive(Debug)]
struct Here {
    live: Live,
    /// Once it is there.
    task: Option<AbortHandle>,
}

impl Sessions {
    /// One more, until it [leaves](Self::leave).
    pub(super) fn enter(&self, live: Live) {
        self.0.lock().insert(live.id(), Here { live, task: None });
    }

    /// One less.
    pub(super) fn leave(&self, id: Id) {
        self.0.lock().remove(&id);
    }

    /// This is the task of a connection that has entered, if it is still there.
    pub(super) fn served_by(&self, id: Id, task: AbortHandle) {
        if let Some(here) = self.0.lock().get_mut(&id) {
            here.task = Some(task);
        }
    }

    /// All of them, the oldest first.
    pub(super) fn list(&self) -> Vec<Live> {
        let mut all: Vec<_> = self.0.lock().values().map(|here| here.live.clone()).collect();
        all.sort_by_key(Live::id);
        all
    }

    /// Cuts one off. Whether it was there.
    pub(super) fn cut(&self, id: Id) -> bool {
        self.0.lock().get(&id).map(Here::cut).is_some()
    }

    /// Cuts all of them off.
    pub(super) fn cut_all(&self) {
        self.0.lock().values().for_each(Here::cut);
    }
}

impl Here {
    fn cut(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

//! Who is here: every connection that lives, by name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::report::{Id, Live};

/// All connections that live. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Id, Here>>>);

#[derive(Debug)]
struct Here {
    live: Live,
    leave: Arc<Notify>,
}

/// A connection's place among them; given back when dropped.
#[derive(Debug)]
pub(super) struct Stay {
    sessions: Sessions,
    id: Id,
    leave: Arc<Notify>,
}

impl Sessions {
    pub(super) fn enter(&self, live: Live) -> Stay {
        let (id, leave) = (live.id(), Arc::new(Notify::new()));
        self.0.lock().insert(id, Here { live, leave: Arc::clone(&leave) });
        Stay { sessions: self.clone(), id, leave }
    }

    /// All of them, the oldest first.
    pub(super) fn list(&self) -> Vec<Live> {
        let mut all: Vec<_> = self.0.lock().values().map(|here| here.live.clone()).collect();
        all.sort_by_key(Live::id);
        all
    }

    /// Cuts one off. Whether it was there.
    pub(super) fn cut(&self, id: Id) -> bool {
        self.0.lock().get(&id).map(|here| here.leave.notify_one()).is_some()
    }

    /// Cuts all of them off.
    pub(super) fn cut_all(&self) {
        self.0.lock().values().for_each(|here| here.leave.notify_one());
    }
}

impl Stay {
    /// Ready when it is to be cut off.
    pub(super) async fn over(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.id);
    }
}

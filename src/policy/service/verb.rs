//! `check_policy_service` in a list.

use std::sync::Arc;

use crate::policy::answered::{Answered, Grant};
use crate::policy::judging::{Judging, Outcome};

use super::{Service, request};

impl Judging<'_> {
    pub(in crate::policy) async fn check_policy_service(&mut self, service: &Arc<Service>) -> Outcome {
        let names = self.names().await;
        let request = request(self.stage, self.facts, names, &service.options.policy_context);
        let value = match service.ask(&request).await {
            Ok(action) => action,
            Err(why) => {
                self.trouble(format!("policy service {}: {why}", service.endpoint));
                service.options.default_action.clone()
            }
        };
        let by = service.endpoint.to_string();
        self.trace.lookup(|| format!("{by}: {value}"));
        Outcome::Follow(Answered { by, key: None, value, about: None, grant: Grant::Permits })
    }
}

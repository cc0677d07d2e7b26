//! A learner under attack: clients that stall, lie, flood and pretend are refused, each under a counted reason, while an
//! honest actor's unrolls keep being accepted.

mod calls;
mod connections;
mod push;
mod site;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use site::Site;

/// What an attack leaves open until its refusal has been seen.
type Held = Box<dyn Any>;

/// One hostile client: its name, the series that must count it, and what it does.
struct Attack {
    name: &'static str,
    counted: &'static str,
    run: Pin<Box<dyn Future<Output = Held>>>,
}

impl Attack {
    fn new(
        name: &'static str,
        counted: &'static str,
        run: impl Future<Output = anyhow::Result<Held>> + 'static,
    ) -> Self {
        let run = Box::pin(async move { run.await.unwrap_or_else(|error| panic!("{name}: {error:#}")) });
        Self { name, counted, run }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_are_refused_while_training_goes_on() {
    let dir = tempfile::tempdir().expect("folder");
    let site = Site::start(dir.path());
    let mut attacks = connections::attacks(&site);
    attacks.extend(calls::attacks(&site));
    attacks.extend(push::attacks(&site));
    assert!(attacks.len() >= 12, "{} attacks", attacks.len());
    site.wait_for_honest_unrolls("the start");
    for Attack { name, counted, run } in attacks {
        let before = site.metric(counted);
        let held = run.await;
        site.wait_for_more(name, counted, before);
        drop(held);
        site.wait_for_honest_unrolls(name);
    }
}

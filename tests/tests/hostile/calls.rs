//! Attacks with calls that the caller has no right to.

use tonic::Code;
use vpt_proto::learner::v1::status_service_client::StatusServiceClient;
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::learner::v1::{GetStatusRequest, WatchRequest};
use vpt_runtime::net::{Channel, endpoint};
use vpt_runtime::security::{Role, Security};

use super::site::Site;
use super::{Attack, Held};

const ROLE: &str = "vpt_net_requests_refused_total{reason=\"role\"}";
const TOKEN: &str = "vpt_net_requests_refused_total{reason=\"token\"}";

pub(crate) fn attacks(site: &Site) -> Vec<Attack> {
    let url = format!("https://{}", site.learner);
    let to = |role, token| channel(&site.security(role, token), &url).expect("a channel");
    vec![
        Attack::new("an actor that asks for the status", ROLE, status(to(Role::Actor, None))),
        Attack::new("an operator that asks for weights", ROLE, weights(to(Role::Operator, None))),
        Attack::new("an envserver that asks for weights", ROLE, weights(to(Role::Envserver, None))),
        Attack::new(
            "the token of an earlier run",
            TOKEN,
            status(to(Role::Operator, Some("the-token-of-an-earlier-run"))),
        ),
    ]
}

pub(crate) fn channel(security: &Security, url: &str) -> anyhow::Result<Channel> {
    Ok(security.channel(&endpoint(security, url, "test")?, &[Role::Learner])?)
}

fn refused(code: Code) -> anyhow::Result<Held> {
    anyhow::ensure!(matches!(code, Code::PermissionDenied | Code::Unauthenticated), "answered with {code:?}");
    Ok(Box::new(()))
}

async fn status(channel: Channel) -> anyhow::Result<Held> {
    let reply = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await;
    refused(reply.map_or_else(|status| status.code(), |_| Code::Ok))
}

async fn weights(channel: Channel) -> anyhow::Result<Held> {
    let reply = WeightsServiceClient::new(channel).watch(WatchRequest::default()).await;
    refused(reply.map_or_else(|status| status.code(), |_| Code::Ok))
}

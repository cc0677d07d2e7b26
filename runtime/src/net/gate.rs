//! Lets calls to one service in: those of the roles it is for, with the run's token.

use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::connection::Peer;
use super::metrics;
use crate::security::{Role, Security};

/// An interceptor for one service.
#[derive(Clone, Debug)]
pub struct Gate {
    security: Security,
    roles: &'static [Role],
}

impl Gate {
    /// A gate for `roles`. Without TLS nobody's role is known, and only the token counts, if there is one.
    #[must_use]
    pub fn new(security: &Security, roles: &'static [Role]) -> Self {
        Self { security: security.clone(), roles }
    }
}

impl Interceptor for Gate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let role = peer.as_ref().and_then(Peer::role);
        if self.security.tls().is_some() && !role.is_some_and(|role| self.roles.contains(&role)) {
            metrics::request_refused("role");
            let is = role.map_or("no role", Role::name);
            tracing::warn!(peer = ?peer.map(|peer| peer.address()), role = is, "a call that its role does not allow");
            let message = format!("the certificate says {is}, which may not call this service");
            return Err(Status::permission_denied(message));
        }
        if self.security.token().is_some_and(|token| !token.is_in(request.metadata())) {
            metrics::request_refused("token");
            tracing::warn!(peer = ?peer.map(|peer| peer.address()), "a call without this run's token");
            return Err(Status::unauthenticated("the run token is missing or another run's"));
        }
        if let Some(peer) = peer {
            peer.admit();
        }
        Ok(request)
    }
}

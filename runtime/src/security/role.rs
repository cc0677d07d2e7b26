//! The roles that a certificate can give its holder: names, and nothing about what they do.

use std::fmt;

/// Who a process is to its peers. A certificate gives a role by the DNS name [`Role::dns_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes unrolls and gives out weights.
    Learner,
    /// Sends unrolls and takes weights.
    Actor,
    /// Passes weights on.
    Relay,
    /// Serves worlds.
    Envserver,
    /// Looks at how a run goes.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Learner, Self::Actor, Self::Relay, Self::Envserver, Self::Operator];

    /// The name in file names and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Actor => "actor",
            Self::Relay => "relay",
            Self::Envserver => "envserver",
            Self::Operator => "operator",
        }
    }

    /// The subject alternative name that gives this role; not a name that any resolver knows.
    #[must_use]
    pub fn dns_name(self) -> &'static str {
        match self {
            Self::Learner => "learner.vpt.internal",
            Self::Actor => "actor.vpt.internal",
            Self::Relay => "relay.vpt.internal",
            Self::Envserver => "envserver.vpt.internal",
            Self::Operator => "operator.vpt.internal",
        }
    }

    /// Whether others connect to it.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Learner | Self::Relay | Self::Envserver)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

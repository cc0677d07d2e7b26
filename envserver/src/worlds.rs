//! The worlds this server offers, by name.

use std::fmt;
use std::sync::Arc;

use crate::config::EnvserverConfig;
use crate::luanti::LuantiWorld;
use crate::minerl::MineRlWorld;
use crate::native::NativeWorld;
use crate::noise::NoiseWorld;
use crate::null::NullWorld;
use crate::world::World;

/// Whether that world has a scripted player, which demonstrations need.
#[must_use]
pub fn has_scripted_player(world: &str) -> bool {
    world != MineRlWorld::NAME
}

type Build = Arc<dyn Fn() -> Box<dyn World> + Send + Sync>;

/// World constructors by name; clones share them.
#[derive(Clone)]
pub struct Worlds {
    entries: Vec<(&'static str, Build)>,
}

impl Worlds {
    /// `native` (the embedded world), `null`, `noise`, and `luanti` and `minerl` with their default settings.
    #[must_use]
    pub fn built_in() -> Self {
        Self::configured(&EnvserverConfig::default())
    }

    /// The same with `luanti` and `minerl` as they are configured.
    #[must_use]
    pub fn configured(config: &EnvserverConfig) -> Self {
        let (luanti, minerl) = (config.luanti.clone(), config.minerl.clone());
        Self::none()
            .with(NativeWorld::NAME, || Box::new(NativeWorld::new()))
            .with(NullWorld::NAME, || Box::new(NullWorld::default()))
            .with(NoiseWorld::NAME, || Box::new(NoiseWorld::default()))
            .with(LuantiWorld::NAME, move || Box::new(LuantiWorld::new(luanti.clone())))
            .with(MineRlWorld::NAME, move || Box::new(MineRlWorld::new(minerl.clone())))
    }

    /// No world at all, to add one's own to.
    #[must_use]
    pub fn none() -> Self {
        Self { entries: Vec::new() }
    }

    /// The same worlds and one more.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        build: impl Fn() -> Box<dyn World> + Send + Sync + 'static,
    ) -> Self {
        self.entries.push((name, Arc::new(build)));
        self
    }

    /// A fresh world, or none of that name.
    #[must_use]
    pub fn build(&self, name: &str) -> Option<Box<dyn World>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, build)| build())
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|(name, _)| *name)
    }

    /// Names for a message.
    #[must_use]
    pub fn known(&self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Worlds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

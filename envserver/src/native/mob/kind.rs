//! The kinds of mob and their numbers (Java 1.16, normal difficulty).

/// A kind of mob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Grazes; beef.
    Cow,
    /// Grazes; pork.
    Pig,
    /// Comes out of the dark and hits.
    Zombie,
    /// Comes near and goes off.
    Creeper,
    /// Climbs walls, leaps and bites; in the light it minds its own business.
    Spider,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Cow, Self::Pig, Self::Zombie, Self::Creeper, Self::Spider];

    /// The name used in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cow => "cow",
            Self::Pig => "pig",
            Self::Zombie => "zombie",
            Self::Creeper => "creeper",
            Self::Spider => "spider",
        }
    }

    /// Whether it means the player harm.
    pub const fn is_hostile(self) -> bool {
        !matches!(self, Self::Cow | Self::Pig)
    }

    /// Half hearts it is born with.
    pub const fn health(self) -> f32 {
        match self {
            Self::Cow | Self::Pig => 10.0,
            Self::Zombie | Self::Creeper => 20.0,
            Self::Spider => 16.0,
        }
    }

    /// Points of armour it is born with.
    pub const fn armour(self) -> f32 {
        if matches!(self, Self::Zombie) { 2.0 } else { 0.0 }
    }

    /// Half hearts one of its blows takes, if it deals any.
    pub const fn damage(self) -> Option<f32> {
        match self {
            Self::Zombie => Some(3.0),
            Self::Spider => Some(2.0),
            Self::Cow | Self::Pig | Self::Creeper => None,
        }
    }

    /// Half the width and the height of its box, metres.
    pub const fn size(self) -> (f64, f64) {
        match self {
            Self::Cow => (0.45, 1.4),
            Self::Pig => (0.45, 0.9),
            Self::Zombie => (0.3, 1.95),
            Self::Creeper => (0.3, 1.7),
            Self::Spider => (0.7, 0.9),
        }
    }

    /// Height of its eyes above its feet, metres.
    pub const fn eye(self) -> f64 {
        match self {
            Self::Cow => 1.3,
            Self::Pig => 0.765,
            Self::Zombie => 1.74,
            Self::Creeper => 1.445,
            Self::Spider => 0.65,
        }
    }

    /// The game's attribute `movement_speed`.
    const fn speed(self) -> f64 {
        match self {
            Self::Cow => 0.2,
            Self::Pig | Self::Creeper => 0.25,
            Self::Zombie => 0.23,
            Self::Spider => 0.3,
        }
    }

    /// What each gait multiplies the speed by.
    const fn factor(self, gait: Gait) -> f64 {
        match (self, gait) {
            (Self::Cow, Gait::Flee) => 2.0,
            (Self::Pig, Gait::Flee) => 1.25,
            (Self::Creeper | Self::Spider, Gait::Stroll) => 0.8,
            _ => 1.0,
        }
    }

    /// Metres per tick that a tick of walking adds to its velocity, with ground under its feet or without.
    ///
    /// On the ground the game multiplies by the speed twice: as the length of the step and as the strength of the push.
    pub(crate) const fn push(self, gait: Gait, on_ground: bool) -> f64 {
        let speed = self.speed() * self.factor(gait);
        0.98 * speed * if on_ground { speed } else { 0.02 }
    }

    /// How far away it notices a player, metres.
    pub(crate) const fn follow_range(self) -> f64 {
        if matches!(self, Self::Zombie) { 35.0 } else { 16.0 }
    }

    /// How far from its feet to the player's its blows reach, metres squared.
    pub(crate) const fn reach_squared(self) -> f64 {
        match self {
            Self::Spider => 4.6,
            // Twice its width squared, and the player's width.
            other => {
                let (half_width, _) = other.size();
                16.0 * half_width * half_width + 0.6
            }
        }
    }
}

/// How a mob goes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gait {
    /// For no reason.
    Stroll,
    /// Away from what hurt it.
    Flee,
    /// After the player.
    Chase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_games() {
        let table = [
            (Kind::Cow, 10.0, None, (0.9, 1.4)),
            (Kind::Pig, 10.0, None, (0.9, 0.9)),
            (Kind::Zombie, 20.0, Some(3.0), (0.6, 1.95)),
            (Kind::Creeper, 20.0, None, (0.6, 1.7)),
            (Kind::Spider, 16.0, Some(2.0), (1.4, 0.9)),
        ];
        for ((kind, health, damage, (width, height)), other) in table.into_iter().zip(Kind::ALL) {
            assert_eq!((kind, kind.health(), kind.damage()), (other, health, damage));
            assert_eq!((2.0 * kind.size().0, kind.size().1), (width, height));
            assert!(kind.eye() < height);
        }
        assert!((Kind::Zombie.reach_squared() - 2.04).abs() < 1e-9);
    }
}

//! Episodes that ended lately: mean return, length, and the share that obtained each item; what each item paid.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use vpt_proto::learner::v1::{EpisodeEnd, UnrollEvent};

/// Items that are reported at most; an episode's names come from outside.
const MAX_ITEMS: usize = 64;

/// One ended episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Episode {
    episode_return: f64,
    length: u32,
    items: BTreeMap<String, u32>,
}

/// The last episodes of the acting policy, at most `window`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReturnWindow {
    episodes: VecDeque<Episode>,
}

/// Rewards by the item they were for; of more than [`MAX_ITEMS`] items those that came first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ItemRewards {
    sums: BTreeMap<String, f64>,
}

impl ItemRewards {
    /// Takes in the events of one unroll.
    pub(crate) fn add(&mut self, events: &[UnrollEvent]) {
        for event in events.iter().filter(|event| event.reward != 0.0) {
            if let Some(sum) = self.sums.get_mut(&event.item) {
                *sum += f64::from(event.reward);
            } else if self.sums.len() < MAX_ITEMS {
                self.sums.insert(event.item.clone(), f64::from(event.reward));
            }
        }
    }

    /// Item and sum of its rewards.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.sums.iter().map(|(item, &sum)| (item.as_str(), sum))
    }
}

/// A mean and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) stderr: f64,
}

impl Estimate {
    /// Of independent samples.
    pub(crate) fn of(samples: impl Iterator<Item = f64> + Clone) -> Self {
        let count = samples.clone().count() as f64;
        if count == 0.0 {
            return Self::default();
        }
        let mean = samples.clone().sum::<f64>() / count;
        let variance = samples.map(|s| (s - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        Self { mean, stderr: (variance / count).sqrt() }
    }
}

impl ReturnWindow {
    /// Takes in an ended episode; beyond `window` the oldest is forgotten.
    pub(crate) fn push(&mut self, end: &EpisodeEnd, window: usize) {
        let items = end.items.iter().map(|(item, &count)| (item.clone(), count)).collect();
        let episode_return = f64::from(end.episode_return);
        self.episodes.push_back(Episode { episode_return, length: end.episode_length, items });
        while self.episodes.len() > window {
            self.episodes.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.episodes.is_empty()
    }

    /// Mean return per episode.
    pub(crate) fn returns(&self) -> Estimate {
        Estimate::of(self.episodes.iter().map(|e| e.episode_return))
    }

    /// Mean steps per episode.
    pub(crate) fn length(&self) -> f64 {
        Estimate::of(self.episodes.iter().map(|e| f64::from(e.length))).mean
    }

    /// Share of episodes that obtained each item.
    pub(crate) fn item_shares(&self) -> BTreeMap<&str, Estimate> {
        let names = self.episodes.iter().flat_map(|e| e.items.keys());
        let names: std::collections::BTreeSet<&String> = names.collect();
        let share = |name: &String| {
            let has = |e: &Episode| f64::from(u8::from(e.items.get(name).is_some_and(|&count| count > 0)));
            Estimate::of(self.episodes.iter().map(has))
        };
        names.into_iter().take(MAX_ITEMS).map(|name| (name.as_str(), share(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_episodes_count() {
        let mut window = ReturnWindow::default();
        for (episode_return, logs) in [(9.0, 0), (1.0, 2), (2.0, 0), (3.0, 1)] {
            let items = [("log".to_owned(), logs)].into();
            let end = EpisodeEnd { episode_return, episode_length: 10, items, ..EpisodeEnd::default() };
            window.push(&end, 3);
        }
        let returns = window.returns();
        assert_eq!(returns.mean, 2.0);
        assert!((returns.stderr - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((window.item_shares()["log"].mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(window.length(), 10.0);
    }

    #[test]
    fn rewards_add_up_by_item_and_the_list_is_bounded() {
        let event = |item: &str, reward| UnrollEvent { item: item.into(), reward, ..UnrollEvent::default() };
        let mut rewards = ItemRewards::default();
        rewards.add(&[event("log", 0.125), event("dirt", 0.0), event("log", 0.125), event("coal", 0.5)]);
        assert_eq!(rewards.iter().collect::<Vec<_>>(), [("coal", 0.5), ("log", 0.25)]);
        let many: Vec<UnrollEvent> = (0..100).map(|i| event(&i.to_string(), 1.0)).collect();
        rewards.add(&many);
        assert_eq!(rewards.iter().count(), MAX_ITEMS);
    }

    #[test]
    fn no_and_single_episodes_have_no_error() {
        assert_eq!(Estimate::of(std::iter::empty()), Estimate::default());
        assert_eq!(Estimate::of(std::iter::once(4.0)), Estimate { mean: 4.0, stderr: 0.0 });
    }
}

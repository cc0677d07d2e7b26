//! The stack of the machine, with its marks; nothing is taken from below the last one.

use super::NodeId;
use super::input::Fault;

/// Values and the marks between them.
#[derive(Default)]
pub(super) struct Stack {
    values: Vec<NodeId>,
    /// Heights at which the marks lie.
    marks: Vec<usize>,
}

impl Stack {
    pub(super) fn push(&mut self, value: NodeId) {
        self.values.push(value);
    }

    pub(super) fn mark(&mut self) {
        self.marks.push(self.values.len());
    }

    /// The last value above the last mark.
    pub(super) fn top(&self) -> Result<NodeId, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.values[floor..].last().copied().ok_or_else(|| "the stack is empty".into())
    }

    /// Takes the last value above the last mark.
    pub(super) fn pop(&mut self) -> Result<NodeId, Fault> {
        let top = self.top()?;
        self.values.pop();
        Ok(top)
    }

    /// Drops the last value or mark, whichever lies on top.
    pub(super) fn discard(&mut self) -> Result<(), Fault> {
        if self.marks.last() == Some(&self.values.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Takes everything above the last mark, and the mark.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<NodeId>, Fault> {
        let floor = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.values.split_off(floor))
    }
}

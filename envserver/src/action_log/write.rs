//! The writing end of an action log: records go out as they come.

use std::io::{self, Write};

use super::{CHECK, Check, END, Header, first_bytes, tick_bytes};
use crate::world::Action;

/// Writes one log; without [`Writer::finish`] it stays cut short, and readers say so.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hasher: blake3::Hasher,
    keys: u32,
    ticks: u64,
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a log with its header.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { out, hasher: blake3::Hasher::new(), keys: 0, ticks: 0, record: Vec::new() };
        writer.record = serde_json::to_vec(header)?;
        writer.record.push(b'\n');
        writer.put()?;
        Ok(writer)
    }

    /// One tick: what was done, and the state's hash after it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tick(&mut self, action: &Action, state_hash: u64) -> io::Result<()> {
        tick_bytes(action, self.keys, state_hash, &mut self.record);
        self.keys = action.keys;
        self.ticks += 1;
        self.put()
    }

    /// What the world is like now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn check(&mut self, check: &Check) -> io::Result<()> {
        self.numbers(CHECK, &[check.tick, check.frame, check.state, check.events])
    }

    /// Ends the log and hands the writer back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.numbers(END, &[self.ticks])?;
        let checksum = first_bytes(&self.hasher.finalize());
        self.out.write_all(&checksum.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn numbers(&mut self, tag: u8, numbers: &[u64]) -> io::Result<()> {
        self.record.clear();
        self.record.push(tag);
        numbers.iter().for_each(|number| self.record.extend_from_slice(&number.to_le_bytes()));
        self.put()
    }

    fn put(&mut self) -> io::Result<()> {
        self.hasher.update(&self.record);
        self.out.write_all(&self.record)
    }
}

//! The reading end of an action log: one record at a time, each checked for sense, the whole by its checksum.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use super::{CAMERA_FOLLOWS, CHECK, Check, END, FORMAT, Header, KEYS_FOLLOW, LogError, VERSION, first_bytes};
use crate::world::Action;

/// No header is longer, bytes: a task is a page of text.
const MAX_HEADER: u64 = 1 << 20;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record {
    /// An action, and the low bits of the state's hash after it.
    Tick(Action, u16),
    /// What the world was like.
    Check(Check),
    /// The log is over and whole; the number of its ticks.
    End(u64),
}

/// Reads one log.
#[derive(Debug)]
pub struct Reader<R> {
    input: BufReader<R>,
    hasher: blake3::Hasher,
    offset: u64,
    header: Header,
    keys: u32,
    ticks: u64,
    /// Ticks since a check; none before the first.
    unchecked: Option<u32>,
}

/// Just enough of any version's header.
#[derive(serde::Deserialize)]
struct Kind {
    format: String,
    version: u32,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When this is no log, or one of a later version, or its header makes no sense.
    pub fn open(input: R) -> Result<Self, LogError> {
        let mut input = BufReader::new(input);
        let line = first_line(&mut input)?;
        let other = |_| LogError::NotALog("its first line is not a log's header");
        let kind: Kind = serde_json::from_slice(&line).map_err(other)?;
        if kind.format != FORMAT {
            return Err(LogError::NotALog("its first line is the header of another format"));
        }
        if kind.version > VERSION {
            return Err(LogError::TooNew { found: kind.version });
        }
        let header: Header =
            serde_json::from_slice(&line).map_err(|error| LogError::Header(error.to_string()))?;
        let header = header.checked()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&line);
        let offset = line.len() as u64;
        Ok(Self { input, hasher, offset, header, keys: 0, ticks: 0, unchecked: None })
    }

    /// What was played.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads on to the end without playing anything, and returns the number of ticks.
    ///
    /// # Errors
    /// When the log is cut short or damaged anywhere.
    pub fn verify(mut self) -> Result<u64, LogError> {
        loop {
            if let Record::End(ticks) = self.next_record()? {
                return Ok(ticks);
            }
        }
    }

    /// The next record; nothing may be read after [`Record::End`].
    ///
    /// # Errors
    /// When the log ends or makes no sense here.
    pub fn next_record(&mut self) -> Result<Record, LogError> {
        let start = self.offset;
        let corrupt = |problem: String| LogError::Corrupt { offset: start, problem };
        match self.take::<1>()?[0] {
            CHECK => self.check().map_err(|fault| fault.unwrap_or_else(corrupt)),
            END => self.end().map_err(|fault| fault.unwrap_or_else(corrupt)),
            tag if tag & !(KEYS_FOLLOW | CAMERA_FOLLOWS) == 0 => {
                self.tick(tag).map_err(|fault| fault.unwrap_or_else(corrupt))
            }
            tag => Err(corrupt(format!("no record has the tag {tag:#04x}"))),
        }
    }

    fn tick(&mut self, tag: u8) -> Result<Record, Fault> {
        let due = self.unchecked.is_none_or(|ticks| ticks >= self.header.check_every);
        if due {
            return Err(Fault::Nonsense(format!("the check after tick {} is missing", self.ticks)));
        }
        if tag & KEYS_FOLLOW != 0 {
            self.keys = u32::from_le_bytes(self.take()?);
        }
        let (mut pitch, mut yaw) = (0.0, 0.0);
        if tag & CAMERA_FOLLOWS != 0 {
            pitch = f32::from_le_bytes(self.take()?);
            yaw = f32::from_le_bytes(self.take()?);
        }
        let digest = u16::from_le_bytes(self.take()?);
        let action =
            Action::sanitised(self.keys, pitch, yaw).map_err(|error| Fault::Nonsense(error.to_string()))?;
        self.ticks += 1;
        self.unchecked = self.unchecked.map(|ticks| ticks + 1);
        Ok(Record::Tick(action, digest))
    }

    fn check(&mut self) -> Result<Record, Fault> {
        let mut number = || self.take().map(u64::from_le_bytes);
        let check = Check { tick: number()?, frame: number()?, state: number()?, events: number()? };
        if check.tick != self.ticks {
            let problem = format!("the check after tick {} says it is of tick {}", self.ticks, check.tick);
            return Err(Fault::Nonsense(problem));
        }
        self.unchecked = Some(0);
        Ok(Record::Check(check))
    }

    fn end(&mut self) -> Result<Record, Fault> {
        let ticks = u64::from_le_bytes(self.take()?);
        let expected = first_bytes(&self.hasher.finalize());
        let checksum = u64::from_le_bytes(self.take()?);
        if checksum != expected {
            let problem = format!("the checksum is {checksum:016x}, that of the log {expected:016x}");
            return Err(Fault::Nonsense(problem));
        }
        if ticks != self.ticks || self.unchecked != Some(0) {
            return Err(Fault::Nonsense(format!(
                "the log says it has {ticks} ticks, all checked; {} are there",
                self.ticks
            )));
        }
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => Ok(Record::End(ticks)),
            Ok(_) => Err(Fault::Nonsense("something follows after the last record".to_owned())),
            Err(source) => Err(Fault::Log(LogError::Io { offset: self.offset, source })),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => LogError::Truncated { offset: self.offset, ticks: self.ticks },
            _ => LogError::Io { offset: self.offset, source },
        })?;
        self.hasher.update(&bytes);
        self.offset += N as u64;
        Ok(bytes)
    }
}

/// What is wrong with a record: nonsense at its start, or what reading met.
enum Fault {
    Nonsense(String),
    Log(LogError),
}

impl Fault {
    fn unwrap_or_else(self, corrupt: impl FnOnce(String) -> LogError) -> LogError {
        match self {
            Self::Nonsense(problem) => corrupt(problem),
            Self::Log(error) => error,
        }
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

fn first_line(input: &mut impl BufRead) -> Result<Vec<u8>, LogError> {
    let mut line = Vec::new();
    let read = input.take(MAX_HEADER).read_until(b'\n', &mut line);
    read.map_err(|source| LogError::Io { offset: line.len() as u64, source })?;
    match (line.first(), line.last()) {
        (None, _) => Err(LogError::NotALog("it is empty")),
        (Some(b'{'), Some(b'\n')) => Ok(line),
        (Some(b'{'), _) if line.len() as u64 == MAX_HEADER => {
            Err(LogError::NotALog("its first line has no end"))
        }
        (Some(b'{'), _) => Err(LogError::Truncated { offset: line.len() as u64, ticks: 0 }),
        _ => Err(LogError::NotALog("it does not begin with a line of JSON")),
    }
}

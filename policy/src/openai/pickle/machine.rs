//! The stack machine: one instruction at a time, none of which calls anything.

use std::collections::HashMap;

use super::input::{Fault, Input};
use super::stack::Stack;
use super::{MAX_OPERATIONS, Node, NodeId, Pickle, text};
use crate::openai::error::OpenAiError;

/// The newest protocol there is.
const MAX_PROTOCOL: u8 = 5;

/// Runs a pickle to its end.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle, OpenAiError> {
    let mut machine = Machine {
        input: Input::new(bytes),
        nodes: Vec::new(),
        stack: Stack::default(),
        memo: HashMap::new(),
    };
    for _ in 0..MAX_OPERATIONS {
        let offset = machine.input.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { nodes: machine.nodes, root }),
            Err(reason) => return Err(OpenAiError::Pickle { offset, reason: reason.into_owned() }),
        }
    }
    Err(OpenAiError::Limit { what: "instructions of a pickle", limit: MAX_OPERATIONS as u64 })
}

struct Machine<'a> {
    input: Input<'a>,
    nodes: Vec<Node>,
    stack: Stack,
    memo: HashMap<u32, NodeId>,
}

impl Machine<'_> {
    /// One instruction; the last one yields what the pickle holds.
    fn step(&mut self) -> Result<Option<NodeId>, Fault> {
        let opcode = self.input.u8()?;
        if opcode == b'.' {
            return self.stack.pop().map(Some);
        }
        if let Some(node) = self.literal(opcode)? {
            self.push(node);
            return Ok(None);
        }
        let known = self.container(opcode)? || self.object(opcode)? || self.bookkeeping(opcode)?;
        if known { Ok(None) } else { Err(format!("opcode {opcode:#04x} is unknown").into()) }
    }

    /// Instructions that push one value read from the pickle.
    fn literal(&mut self, opcode: u8) -> Result<Option<Node>, Fault> {
        let input = &mut self.input;
        Ok(Some(match opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Integer(i64::from(input.u8()?)),
            b'M' => Node::Integer(i64::from(input.u16()?)),
            b'J' => Node::Integer(i64::from(input.i32()?)),
            b'I' | b'L' => text::decimal(input.line()?)?,
            0x8a => text::long(input.counted8()?),
            0x8b => text::long(input.counted_signed()?),
            b'G' => Node::Float(f64::from_be_bytes(input.array()?)),
            b'F' => text::float(input.line()?)?,
            0x8c => Node::Text(text::utf8(input.counted8()?)?),
            b'X' => Node::Text(text::utf8(input.counted32()?)?),
            0x8d => Node::Text(text::utf8(input.counted64()?)?),
            b'V' => text::raw_unicode(input.line()?)?,
            b'S' => text::quoted(input.line()?)?,
            b'U' => text::text_or_bytes(input.counted8()?),
            b'T' => text::text_or_bytes(input.counted_signed()?),
            b'C' => Node::Bytes(input.counted8()?.to_vec()),
            b'B' => Node::Bytes(input.counted32()?.to_vec()),
            0x8e | 0x96 => Node::Bytes(input.counted64()?.to_vec()),
            b'}' => Node::Dict(Vec::new()),
            b']' | 0x8f => Node::List(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            _ => return Ok(None),
        }))
    }

    /// Instructions that build lists, tuples, sets and dicts.
    fn container(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            b'(' => self.stack.mark(),
            b't' => {
                let values = self.stack.pop_mark()?;
                self.push(Node::Tuple(values));
            }
            b'l' | 0x91 => {
                let values = self.stack.pop_mark()?;
                self.push(Node::List(values));
            }
            b'd' => {
                let values = self.stack.pop_mark()?;
                self.push(Node::Dict(pairs(&values)?));
            }
            0x85..=0x87 => {
                let mut values = vec![NodeId(0); usize::from(opcode - 0x84)];
                for value in values.iter_mut().rev() {
                    *value = self.stack.pop()?;
                }
                self.push(Node::Tuple(values));
            }
            b'a' => {
                let value = self.stack.pop()?;
                self.append(vec![value])?;
            }
            b'e' | 0x90 => {
                let values = self.stack.pop_mark()?;
                self.append(values)?;
            }
            b's' => {
                let value = self.stack.pop()?;
                let key = self.stack.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let values = self.stack.pop_mark()?;
                self.set(pairs(&values)?)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions that would name, call or change a class; what they would do is noted down.
    fn object(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            b'c' => {
                let class = self.named_global()?;
                self.stack.push(class);
            }
            0x93 => {
                let name = self.stack.pop()?;
                let module = self.stack.pop()?;
                if !self.is_text(module) || !self.is_text(name) {
                    return Err("a class is not named by strings".into());
                }
                self.push(Node::Global { module, name });
            }
            b'R' | 0x81 => {
                let args = self.stack.pop()?;
                self.call(args)?;
            }
            0x92 => {
                // Keyword arguments: no class that is read here takes any.
                self.stack.pop()?;
                let args = self.stack.pop()?;
                self.call(args)?;
            }
            b'i' => {
                let class = self.named_global()?;
                let args = self.stack.pop_mark()?;
                let args = self.add(Node::Tuple(args));
                self.push(Node::Object { class, args, entries: Vec::new() });
            }
            b'o' => {
                let mut values = self.stack.pop_mark()?.into_iter();
                let class = values.next().ok_or("an object has no class")?;
                let args = self.add(Node::Tuple(values.collect()));
                self.push(Node::Object { class, args, entries: Vec::new() });
            }
            b'b' => {
                self.stack.pop()?;
                self.stack.top()?;
            }
            b'P' => {
                let id = text::utf8(self.input.line()?)?;
                let id = self.add(Node::Text(id));
                self.push(Node::Persistent(id));
            }
            b'Q' => {
                let id = self.stack.pop()?;
                self.push(Node::Persistent(id));
            }
            0x82..=0x84 => return Err("it names a class by a number of some registry".into()),
            0x97 | 0x98 => return Err("it refers to a buffer outside the file".into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions about the memo, the stack and the format.
    fn bookkeeping(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            0x80 => {
                let protocol = self.input.u8()?;
                if protocol > MAX_PROTOCOL {
                    return Err(format!("protocol {protocol} is newer than {MAX_PROTOCOL}").into());
                }
            }
            0x95 => {
                // A frame only says how much may be read ahead.
                self.input.array::<8>()?;
            }
            b'0' => self.stack.discard()?,
            b'1' => drop(self.stack.pop_mark()?),
            b'2' => {
                let top = self.stack.top()?;
                self.stack.push(top);
            }
            b'q' | b'r' | b'p' => {
                let key = self.memo_key(opcode)?;
                let top = self.stack.top()?;
                self.memo.insert(key, top);
            }
            0x94 => {
                let key = u32::try_from(self.memo.len()).map_err(|_| "the memo is full")?;
                let top = self.stack.top()?;
                self.memo.insert(key, top);
            }
            b'h' | b'j' | b'g' => {
                let key = self.memo_key(opcode)?;
                let value = *self.memo.get(&key).ok_or_else(|| format!("the memo has no entry {key}"))?;
                self.stack.push(value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memo_key(&mut self, opcode: u8) -> Result<u32, Fault> {
        match opcode {
            b'q' | b'h' => self.input.u8().map(u32::from),
            b'r' | b'j' => self.input.u32(),
            _ => match text::decimal(self.input.line()?)? {
                Node::Integer(key) => u32::try_from(key).map_err(|_| "a memo key is out of range".into()),
                Node::Bool(key) => Ok(u32::from(key)),
                _ => Err("a memo key is out of range".into()),
            },
        }
    }

    /// A class named by the next two lines.
    fn named_global(&mut self) -> Result<NodeId, Fault> {
        let module = text::utf8(self.input.line()?)?;
        let name = text::utf8(self.input.line()?)?;
        let module = self.add(Node::Text(module));
        let name = self.add(Node::Text(name));
        Ok(self.add(Node::Global { module, name }))
    }

    /// Replaces the class on the stack by what calling it would make.
    fn call(&mut self, args: NodeId) -> Result<(), Fault> {
        let class = self.stack.pop()?;
        if !matches!(self.nodes[args.0 as usize], Node::Tuple(_)) {
            return Err("the arguments of a call are no tuple".into());
        }
        self.push(Node::Object { class, args, entries: Vec::new() });
        Ok(())
    }

    fn append(&mut self, values: Vec<NodeId>) -> Result<(), Fault> {
        let target = self.stack.top()?;
        match &mut self.nodes[target.0 as usize] {
            Node::List(list) => list.extend(values),
            Node::Object { .. } => {}
            _ => return Err("it appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(NodeId, NodeId)>) -> Result<(), Fault> {
        let target = self.stack.top()?;
        match &mut self.nodes[target.0 as usize] {
            Node::Dict(entries) | Node::Object { entries, .. } => entries.extend(pairs),
            _ => return Err("it sets entries of what is no dict".into()),
        }
        Ok(())
    }

    /// Keeps a node; there are at most three per instruction, so that 32 bits name them all.
    fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    fn push(&mut self, node: Node) {
        let id = self.add(node);
        self.stack.push(id);
    }

    fn is_text(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.0 as usize], Node::Text(_))
    }
}

/// Keys and values in turn.
fn pairs(values: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, Fault> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a dict has a key without a value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

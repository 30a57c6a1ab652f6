//! The pickle inside a file that `torch.save` wrote: a program for a stack machine, of which only what puts tensors into a
//! dictionary is carried out. Nothing it names is called, and whatever else it asks for is refused.

mod value;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

pub(crate) use self::value::Tensor;
use self::value::{Value, long, shown, storage, tensor};

/// What `torch.save` nests is at most three deep.
const MAX_DEPTH: usize = 8;

/// The tensors of the dictionary that this pickle makes, by name, in its order.
///
/// # Errors
/// The program is cut off, asks for anything but tensors in a dictionary, or makes something else: it is named.
pub(crate) fn tensors(program: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    Machine { program, ..Machine::default() }.run()
}

#[derive(Default)]
struct Machine<'a> {
    /// What is left of it.
    program: &'a [u8],
    stack: Vec<Value>,
    /// Where the marks are.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Vec<(String, Tensor)>, String> {
        loop {
            let [opcode] = self.take()?;
            match opcode {
                // PROTO: torch writes 2.
                0x80 => match self.take()? {
                    [2 | 3] => {}
                    [other] => return Err(format!("pickle protocol {other}, where torch has 2")),
                },
                b'}' => self.new_dict(),
                b')' => self.push_tuple(Vec::new())?,
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'K' => {
                    let [number] = self.take()?;
                    self.stack.push(Value::Int(number.into()));
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                // LONG1: a number in as few bytes as it needs.
                0x8a => {
                    let [length] = self.take()?;
                    let number = long(self.slice(length.into())?)?;
                    self.stack.push(Value::Int(number));
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?);
                    let text = std::str::from_utf8(self.slice(length as usize)?);
                    let text = text.map_err(|_| "a text that is not UTF-8".to_owned())?;
                    self.stack.push(Value::Text(text.into()));
                }
                b'c' => {
                    let name = format!("{}.{}", self.line()?, self.line()?);
                    self.stack.push(Value::Global(name.into()));
                }
                b'(' => self.marks.push(self.stack.len()),
                b't' => {
                    let items = self.since_mark()?;
                    self.push_tuple(items)?;
                }
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(opcode - 0x84))?;
                    self.push_tuple(items)?;
                }
                b'q' => {
                    let [place] = self.take()?;
                    self.remember(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.remember(place)?;
                }
                b'h' => {
                    let [place] = self.take()?;
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.recall(place)?;
                }
                // BINPERSID: torch's way to name a storage.
                b'Q' => {
                    let storage = storage(&self.pop()?)?;
                    self.stack.push(storage);
                }
                // REDUCE: a call.
                b'R' => self.call()?,
                b's' => {
                    let pair = self.pop_many(2)?;
                    self.set_items(pair)?;
                }
                b'u' => {
                    let pairs = self.since_mark()?;
                    self.set_items(pairs)?;
                }
                // BUILD: the attributes of a dictionary of torch.nn's, of which tensors need none.
                b'b' => {
                    self.pop()?;
                    match self.stack.last() {
                        Some(Value::Dict(_)) => {}
                        _ => return Err("it sets the attributes of an object".to_owned()),
                    }
                }
                b'.' => return self.finish(),
                other => {
                    return Err(format!(
                        "it uses the pickle instruction {other:#04x}, which tensors do not need"
                    ));
                }
            }
        }
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (piece, rest) = self.program.split_at_checked(length).ok_or_else(cut_off)?;
        self.program = rest;
        Ok(piece)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.slice(N)?.try_into().expect("as long as was asked for"))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.program.iter().position(|byte| *byte == b'\n').ok_or_else(cut_off)?;
        let line = self.slice(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name that is not UTF-8".to_owned())
    }

    fn pop(&mut self) -> Result<Value, String> {
        // What is below a mark belongs to somebody else.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or_else(empty)?;
        if mark > self.stack.len() {
            return Err(empty());
        }
        Ok(self.stack.split_off(mark))
    }

    fn new_dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), String> {
        let depth = |item: &Value| if let Value::Tuple(_, depth) = item { *depth } else { 0 };
        let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(format!("it nests tuples more than {MAX_DEPTH} deep"));
        }
        self.stack.push(Value::Tuple(items.into(), depth));
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or_else(empty)?.clone();
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let value = self.memo.get(&place).ok_or("it recalls what it has not stored")?;
        self.stack.push(value.clone());
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(place)) = self.stack.last() else {
            return Err("it puts items into what is no dictionary".to_owned());
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let value = items.next().ok_or("a key without a value")?;
            self.dicts[*place].push((key, value));
        }
        Ok(())
    }

    /// Two things are made by a call, and neither needs one.
    fn call(&mut self) -> Result<(), String> {
        let pair = self.pop_many(2)?;
        let [Value::Global(name), Value::Tuple(arguments, _)] = &pair[..] else {
            return Err("it calls what has no name".to_owned());
        };
        match (&**name, &**arguments) {
            ("collections.OrderedDict", []) => self.new_dict(),
            ("torch._utils._rebuild_tensor_v2", arguments) => {
                let tensor = tensor(arguments).ok_or("a tensor that is no part of a storage")?;
                self.stack.push(Value::Tensor(Rc::new(tensor)));
            }
            _ => return Err(format!("it calls {}, which tensors do not need", shown(name))),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(String, Tensor)>, String> {
        let Value::Dict(place) = self.pop()? else {
            return Err("it is not a dictionary of tensors".to_owned());
        };
        // A name or a tensor that the program recalls is held once: only of different ones are there copies.
        let mut names = BTreeSet::new();
        let one = |(key, value): &'_ (Value, Value)| match (key, value) {
            (Value::Text(name), _) if !names.insert(Rc::clone(name)) => {
                Err(format!("{} is there twice", shown(name)))
            }
            (Value::Text(name), Value::Tensor(tensor)) => {
                Ok((name.to_string(), Tensor::clone(tensor)))
            }
            (Value::Text(name), _) => Err(format!("{} is not a tensor", shown(name))),
            _ => Err("a tensor without a name".to_owned()),
        };
        self.dicts[place].iter().map(one).collect()
    }
}

fn cut_off() -> String {
    "its pickle is cut off".to_owned()
}

fn empty() -> String {
    "its pickle takes from an empty stack".to_owned()
}

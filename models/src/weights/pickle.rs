//! A restricted reader of Python's pickles. It runs nothing: of the opcodes it knows those that tensors, numbers, texts
//! and containers need, of what a pickle may ask for by name a closed list ([`GLOBALS`]). All else is refused.
//!
//! Values refer to containers by number, so that none is copied, moved or dropped in recursion; each opcode makes one
//! value at most, so that a pickle takes memory in proportion to its length.

use std::collections::HashMap;

use safetensors::Dtype;

/// Why a pickle is not read.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// It asks for what only running it could give.
    Refused(String),
    Damaged(String),
}

type Result<T> = std::result::Result<T, Fault>;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// By number: into `sequences`, `sequences`, `dicts`, `storages`, `tensors`.
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    Global(Global),
}

/// What a pickle may ask for by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    /// From bytes without a type.
    RebuildTensorAs,
    RebuildParameter,
    /// Numbers of a type, or bytes.
    Storage(Option<Dtype>),
    Dtype(Dtype),
}

const GLOBALS: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch", "Size", Global::Size),
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v3", Global::RebuildTensorAs),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    (
        "torch._utils",
        "_rebuild_parameter_with_state",
        Global::RebuildParameter,
    ),
    ("torch.storage", "UntypedStorage", Global::Storage(None)),
    ("torch", "UntypedStorage", Global::Storage(None)),
    ("torch", "DoubleStorage", Global::Storage(Some(Dtype::F64))),
    ("torch", "FloatStorage", Global::Storage(Some(Dtype::F32))),
    ("torch", "HalfStorage", Global::Storage(Some(Dtype::F16))),
    ("torch", "BFloat16Storage", Global::Storage(Some(Dtype::BF16))),
    ("torch", "LongStorage", Global::Storage(Some(Dtype::I64))),
    ("torch", "IntStorage", Global::Storage(Some(Dtype::I32))),
    ("torch", "ShortStorage", Global::Storage(Some(Dtype::I16))),
    ("torch", "CharStorage", Global::Storage(Some(Dtype::I8))),
    ("torch", "ByteStorage", Global::Storage(Some(Dtype::U8))),
    ("torch", "BoolStorage", Global::Storage(Some(Dtype::BOOL))),
    ("torch", "float64", Global::Dtype(Dtype::F64)),
    ("torch", "float32", Global::Dtype(Dtype::F32)),
    ("torch", "float16", Global::Dtype(Dtype::F16)),
    ("torch", "bfloat16", Global::Dtype(Dtype::BF16)),
    ("torch", "int64", Global::Dtype(Dtype::I64)),
    ("torch", "int32", Global::Dtype(Dtype::I32)),
    ("torch", "int16", Global::Dtype(Dtype::I16)),
    ("torch", "int8", Global::Dtype(Dtype::I8)),
    ("torch", "uint8", Global::Dtype(Dtype::U8)),
    ("torch", "bool", Global::Dtype(Dtype::BOOL)),
    ("torch", "float8_e4m3fn", Global::Dtype(Dtype::F8_E4M3)),
    ("torch", "float8_e5m2", Global::Dtype(Dtype::F8_E5M2)),
];

/// A storage that the archive has under a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    /// None for bytes.
    pub dtype: Option<Dtype>,
    pub key: &'a str,
    /// How many of the type.
    pub n: usize,
}

/// A view of a storage; offset and strides in numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub storage: usize,
    pub dtype: Dtype,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// More axes than any weight has.
const MOST_AXES: usize = 16;

/// What a pickle has built.
#[derive(Debug, Default)]
pub(super) struct Built<'a> {
    sequences: Vec<Vec<Value<'a>>>,
    pub dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub storages: Vec<Storage<'a>>,
    pub tensors: Vec<View>,
}

/// Reads a pickle: its value, and what that refers to.
pub(super) fn read(bytes: &[u8]) -> Result<(Value<'_>, Built<'_>)> {
    let mut machine = Machine {
        rest: bytes,
        length: bytes.len(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        built: Built::default(),
    };
    loop {
        match machine.bytes(1)?[0] {
            b'.' => return Ok((machine.pop()?, machine.built)),
            code => machine.step(code)?,
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    length: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    built: Built<'a>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            // The protocol's number, and the length of what follows: nothing hangs on either.
            0x80 => drop(self.bytes(1)?),
            0x95 => drop(self.bytes(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | b'G' => {
                let value = self.plain(code)?;
                self.stack.push(value);
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => {
                let text = self.text(code)?;
                self.stack.push(Value::Text(text));
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(code)?,
            b'}' | b']' | b')' | b't' | 0x85..=0x87 => self.container(code)?,
            b'a' | b'e' | b's' | b'u' => self.fill(code)?,
            b'c' | 0x93 => {
                let (module, name) = self.global_name(code)?;
                self.stack.push(Value::Global(global(module, name)?));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let value = self.call(callee, arguments)?;
                self.stack.push(value);
            }
            b'b' => self.build()?,
            code => return Err(self.damage(format!("opcode {code:#04x} is none that weights need"))),
        }
        Ok(())
    }

    fn damage(&self, what: impl std::fmt::Display) -> Fault {
        Fault::Damaged(format!(
            "{what} (byte {} of its pickle)",
            self.length - self.rest.len()
        ))
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.damage("it ends too early")),
        }
    }

    /// A little-endian number.
    fn number(&mut self, n_bytes: usize) -> Result<u64> {
        let bytes = self.bytes(n_bytes)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => Ok(self.stack.pop().unwrap_or(Value::None)),
            false => Err(self.damage("a value is missing")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.damage("a mark is missing")),
        }
    }

    fn plain(&mut self, code: u8) -> Result<Value<'a>> {
        Ok(match code {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            0x8a => match self.number(1)? as usize {
                0 => Value::Int(0),
                n @ 1..=8 => {
                    let unused = 64 - 8 * n as u32;
                    Value::Int((self.number(n)? << unused) as i64 >> unused)
                }
                n => return Err(self.damage(format!("a number of {n} bytes"))),
            },
            _ => Value::Float(f64::from_bits(self.number(8)?.swap_bytes())),
        })
    }

    fn text(&mut self, code: u8) -> Result<&'a str> {
        let width = match code {
            0x8c | b'U' => 1,
            0x8d => 8,
            _ => 4,
        };
        let length = self.number(width)?;
        let bytes = self.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|_| self.damage("a text that is no UTF-8"))
    }

    fn remember(&mut self, code: u8) -> Result<()> {
        let index = match code {
            b'q' | b'h' => self.number(1)? as u32,
            b'r' | b'j' => self.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if let b'h' | b'j' = code {
            let value = self.memo.get(&index).copied();
            let value = value.ok_or_else(|| self.damage(format!("value {index} was never kept")))?;
            self.stack.push(value);
            return Ok(());
        }
        let value = self.pop()?;
        self.stack.push(value);
        self.memo.insert(index, value);
        Ok(())
    }

    fn container(&mut self, code: u8) -> Result<()> {
        let value = match code {
            b'}' => self.dict(),
            b']' => Value::List(self.sequence(Vec::new())),
            b')' => Value::Tuple(self.sequence(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                Value::Tuple(self.sequence(items))
            }
            _ => {
                let mut items = Vec::new();
                for _ in 0x84..code {
                    items.push(self.pop()?);
                }
                items.reverse();
                Value::Tuple(self.sequence(items))
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn sequence(&mut self, items: Vec<Value<'a>>) -> usize {
        self.built.sequences.push(items);
        self.built.sequences.len() - 1
    }

    fn dict(&mut self) -> Value<'a> {
        self.built.dicts.push(Vec::new());
        Value::Dict(self.built.dicts.len() - 1)
    }

    /// Puts values into the container before them.
    fn fill(&mut self, code: u8) -> Result<()> {
        let items = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let container = self.pop()?;
        self.stack.push(container);
        match (container, code) {
            (Value::List(list), b'a' | b'e') => self.built.sequences[list].extend(items),
            (Value::Dict(dict), b's' | b'u') => {
                let (pairs, rest) = items.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(self.damage("a key has no value"));
                }
                self.built.dicts[dict].extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            _ => return Err(self.damage("items are put into what is no container of such")),
        }
        Ok(())
    }

    fn global_name(&mut self, code: u8) -> Result<(&'a str, &'a str)> {
        if code == b'c' {
            return Ok((self.line()?, self.line()?));
        }
        match (self.pop()?, self.pop()?) {
            (Value::Text(name), Value::Text(module)) => Ok((module, name)),
            _ => Err(self.damage("a name that is no text")),
        }
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let line = self.bytes(end.map_or(usize::MAX, |end| end + 1))?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        std::str::from_utf8(line).map_err(|_| self.damage("a name that is no UTF-8"))
    }

    fn items(&self, value: Value<'a>) -> Result<&[Value<'a>]> {
        match value {
            Value::Tuple(index) => Ok(&self.built.sequences[index]),
            _ => Err(self.damage("arguments that are no tuple")),
        }
    }

    /// What a persistent id stands for: `("storage", type, key, device, length)`.
    fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>> {
        let storage = match self.items(id)? {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(n),
            ] => Storage {
                dtype: *dtype,
                key,
                n: self.size(Value::Int(*n))?,
            },
            _ => return Err(self.damage("a persistent id that names no storage")),
        };
        self.built.storages.push(storage);
        Ok(Value::Storage(self.built.storages.len() - 1))
    }

    fn size(&self, value: Value<'a>) -> Result<usize> {
        match value {
            Value::Int(n) if n >= 0 => Ok(n as usize),
            other => Err(self.damage(format!("{other:?} is no size"))),
        }
    }

    fn sizes(&self, value: Value<'a>) -> Result<Vec<usize>> {
        let sizes = self.items(value)?;
        if sizes.len() > MOST_AXES {
            return Err(self.damage(format!("a tensor of {} axes", sizes.len())));
        }
        sizes.iter().map(|&size| self.size(size)).collect()
    }

    fn call(&mut self, callee: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>> {
        let Value::Global(callee) = callee else {
            return Err(self.damage("what is called is no function"));
        };
        let items = self.items(arguments)?;
        match (callee, items) {
            (Global::OrderedDict, []) => Ok(self.dict()),
            (Global::Size, [sizes @ Value::Tuple(_)]) => Ok(*sizes),
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(*tensor),
            (Global::RebuildTensor, &[Value::Storage(storage), offset, shape, strides, ..]) => {
                let dtype = self.built.storages[storage].dtype;
                let dtype = dtype.ok_or_else(|| self.damage("a tensor without a type"))?;
                self.tensor(storage, dtype, [offset, shape, strides])
            }
            (
                Global::RebuildTensorAs,
                &[
                    Value::Storage(storage),
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::Dtype(dtype)),
                    ..,
                ],
            ) => self.tensor(storage, dtype, [offset, shape, strides]),
            _ => Err(self.damage(format!("{callee:?} is called with other arguments than it takes"))),
        }
    }

    fn tensor(
        &mut self,
        storage: usize,
        dtype: Dtype,
        [offset, shape, strides]: [Value<'a>; 3],
    ) -> Result<Value<'a>> {
        let view = View {
            storage,
            dtype,
            offset: self.size(offset)?,
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
        };
        if view.shape.len() != view.strides.len() {
            return Err(self.damage("a tensor with more or fewer strides than axes"));
        }
        self.built.tensors.push(view);
        Ok(Value::Tensor(self.built.tensors.len() - 1))
    }

    /// The attributes of a dictionary, which weights do without.
    fn build(&mut self) -> Result<()> {
        let (_, value) = (self.pop()?, self.pop()?);
        match value {
            Value::Dict(_) => {
                self.stack.push(value);
                Ok(())
            }
            _ => Err(self.damage("attributes of what is no dictionary")),
        }
    }
}

fn global(module: &str, name: &str) -> Result<Global> {
    let known = GLOBALS
        .iter()
        .find(|(of, known, _)| *of == module && *known == name);
    let asked = || {
        let name: String = format!("{module}.{name}").chars().take(120).collect();
        Fault::Refused(name)
    };
    known.map(|(.., global)| *global).ok_or_else(asked)
}

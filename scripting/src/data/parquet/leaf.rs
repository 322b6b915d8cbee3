//! Values of one column as they lie, and what a script gets of each.

use chrono::{DateTime, NaiveTime, TimeDelta};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::errors::Result as CrateResult;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use rhai::{Dynamic, ImmutableString};

use super::pages::Pages;
use super::{Room, asked, damaged};
use crate::errors::ScriptError;
use crate::tensor::work::Work;

/// What the numbers and bytes of a column mean.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    /// What the type says, bytes being texts where they are UTF-8.
    Plain,
    Text,
    Unsigned,
    /// A whole number times a power of ten.
    Decimal(i32),
    Date,
    /// Since midnight, in so many a second.
    Time(i64),
    /// Since 1970, in so many a second; whether that is by UTC.
    Moment(i64, bool),
    Half,
    Uuid,
}

impl Meaning {
    fn of(column: &ColumnDescriptor) -> Self {
        let unit = |unit: TimeUnit| match unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        };
        match column.logical_type_ref() {
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) => Self::Text,
            Some(LogicalType::Decimal(kind)) => Self::Decimal(kind.scale),
            Some(LogicalType::Date) => Self::Date,
            Some(LogicalType::Time(kind)) => Self::Time(unit(kind.unit)),
            Some(LogicalType::Timestamp(kind)) => Self::Moment(unit(kind.unit), kind.is_adjusted_to_u_t_c),
            Some(LogicalType::Integer(kind)) if !kind.is_signed => Self::Unsigned,
            Some(LogicalType::Float16) => Self::Half,
            Some(LogicalType::Uuid) => Self::Uuid,
            Some(_) => Self::Plain,
            // Files before 2019 have only these.
            None => match column.converted_type() {
                ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Self::Text,
                ConvertedType::DECIMAL => Self::Decimal(column.type_scale()),
                ConvertedType::DATE => Self::Date,
                ConvertedType::TIME_MILLIS => Self::Time(1_000),
                ConvertedType::TIME_MICROS => Self::Time(1_000_000),
                ConvertedType::TIMESTAMP_MILLIS => Self::Moment(1_000, true),
                ConvertedType::TIMESTAMP_MICROS => Self::Moment(1_000_000, true),
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64 => Self::Unsigned,
                _ => Self::Plain,
            },
        }
    }
}

/// The values of a batch that are there.
enum Values {
    Truth(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int96(Vec<Int96>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// A column of a row group, a batch of rows after the other.
pub(super) struct Leaf {
    reader: ColumnReader,
    meaning: Meaning,
    most_def: i16,
    defs: Vec<i16>,
    reps: Vec<i16>,
    values: Values,
    /// How many places the batch has, where it stands, and which value is next.
    n_places: usize,
    at: usize,
    next: usize,
    /// The last text, which many rows may have: they share it.
    last: ImmutableString,
    room: Room,
}

impl Leaf {
    pub(super) fn new(column: ColumnDescPtr, pages: Pages, room: Room) -> Result<Self, ScriptError> {
        let (meaning, most_def) = (Meaning::of(&column), column.max_def_level());
        let reader = asked(|| Ok(get_column_reader(column, Box::new(pages))))?;
        Ok(Self {
            reader,
            meaning,
            most_def,
            defs: Vec::new(),
            reps: Vec::new(),
            values: Values::Truth(Vec::new()),
            n_places: 0,
            at: 0,
            next: 0,
            last: ImmutableString::new(),
            room,
        })
    }

    /// Goes on to the next rows, at most so many; how many there are.
    pub(super) fn read(&mut self, most: usize) -> Result<usize, ScriptError> {
        self.defs.clear();
        self.reps.clear();
        (self.at, self.next) = (0, 0);
        let (defs, reps) = (&mut self.defs, &mut self.reps);
        // Of a kind of values, rows and places.
        macro_rules! batch {
            ($reader:expr, $values:path) => {{
                let mut values = Vec::new();
                let (rows, _, places) = $reader.read_records(most, Some(defs), Some(reps), &mut values)?;
                (rows, places, $values(values))
            }};
        }
        let reader = &mut self.reader;
        let read = asked(|| -> CrateResult<_> {
            Ok(match reader {
                ColumnReader::BoolColumnReader(reader) => batch!(reader, Values::Truth),
                ColumnReader::Int32ColumnReader(reader) => batch!(reader, Values::Int32),
                ColumnReader::Int64ColumnReader(reader) => batch!(reader, Values::Int64),
                ColumnReader::Int96ColumnReader(reader) => batch!(reader, Values::Int96),
                ColumnReader::FloatColumnReader(reader) => batch!(reader, Values::Float),
                ColumnReader::DoubleColumnReader(reader) => batch!(reader, Values::Double),
                ColumnReader::ByteArrayColumnReader(reader) => batch!(reader, Values::Bytes),
                ColumnReader::FixedLenByteArrayColumnReader(reader) => batch!(reader, Values::Fixed),
            })
        })?;
        let n_rows;
        (n_rows, self.n_places, self.values) = read;
        Ok(n_rows)
    }

    /// How much is there of what stands at this place: a level for each group that is, and each list that has items.
    pub(super) fn definition(&self) -> Result<i16, ScriptError> {
        match (self.at < self.n_places, self.most_def) {
            (false, _) => Err(uneven()),
            (true, 0) => Ok(0),
            (true, _) => self.defs.get(self.at).copied().ok_or_else(uneven),
        }
    }

    /// Of which list this place goes on, the outermost being 1; of a new row, 0.
    pub(super) fn repetition(&self) -> i16 {
        match self.at < self.n_places {
            true => self.reps.get(self.at).copied().unwrap_or(0),
            false => 0,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.n_places
    }

    /// Passes over a place without a value.
    pub(super) fn pass(&mut self) -> Result<(), ScriptError> {
        match self.definition()? < self.most_def {
            true => {
                self.at += 1;
                Ok(())
            }
            false => Err(uneven()),
        }
    }

    /// The value at this place.
    pub(super) fn take(&mut self, work: &Work) -> Result<Dynamic, ScriptError> {
        if self.definition()? != self.most_def {
            return Err(uneven());
        }
        work.value()?;
        let (at, meaning) = (self.next, self.meaning);
        self.at += 1;
        self.next += 1;
        if let Values::Bytes(values) = &self.values {
            let value = values.get(at).ok_or_else(uneven)?.clone();
            return self.bytes(value.data());
        }
        let whole = |number: i64| counted(number, meaning);
        let value = match &self.values {
            Values::Truth(values) => values.get(at).map(|truth| Dynamic::from_bool(*truth)),
            Values::Int32(values) => values.get(at).map(|number| match meaning {
                Meaning::Unsigned => whole(i64::from(*number as u32)),
                _ => whole((*number).into()),
            }),
            Values::Int64(values) => values.get(at).map(|number| match u64::try_from(*number) {
                Err(_) if meaning == Meaning::Unsigned => Dynamic::from_float(*number as u64 as f64),
                _ => whole(*number),
            }),
            Values::Int96(values) => values.get(at).map(moment_of_96),
            Values::Float(values) => values.get(at).map(|number| Dynamic::from_float((*number).into())),
            Values::Double(values) => values.get(at).map(|number| Dynamic::from_float(*number)),
            Values::Fixed(values) => values.get(at).map(|value| fixed(value.data(), meaning)),
            Values::Bytes(_) => None,
        };
        value.ok_or_else(uneven)
    }

    /// Bytes of any number: a text, where they are one.
    fn bytes(&mut self, bytes: &[u8]) -> Result<Dynamic, ScriptError> {
        if let Meaning::Decimal(scale) = self.meaning {
            return Ok(decimal(bytes, scale));
        }
        if self.last.as_bytes() == bytes {
            return Ok(Dynamic::from(self.last.clone()));
        }
        if bytes.len() >= LONG {
            self.room.check(bytes.len())?;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.last = text.into(),
            Err(_) if self.meaning == Meaning::Text => return Err(damaged("a text in it is no UTF-8")),
            Err(_) => return Ok(Dynamic::from_blob(bytes.to_vec())),
        }
        Ok(Dynamic::from(self.last.clone()))
    }
}

/// Bytes of a text for which room is asked by itself.
const LONG: usize = 1 << 14;

fn uneven() -> ScriptError {
    damaged("it is damaged: its columns do not fit together")
}

/// A whole number of any meaning.
fn counted(number: i64, meaning: Meaning) -> Dynamic {
    let parts = |per_second: i64| {
        let nanos = number.rem_euclid(per_second) * (1_000_000_000 / per_second);
        (number.div_euclid(per_second), nanos as u32)
    };
    let text = match meaning {
        Meaning::Decimal(scale) => return Dynamic::from_float(number as f64 / 10f64.powi(scale)),
        Meaning::Date => number
            .checked_mul(86_400)
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .map(|day| day.format("%Y-%m-%d").to_string()),
        Meaning::Time(per_second) => {
            let (seconds, nanos) = parts(per_second);
            let seconds = u32::try_from(seconds).ok();
            let time =
                seconds.and_then(|seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos));
            time.map(|time| time.format("%H:%M:%S%.f").to_string())
        }
        Meaning::Moment(per_second, is_utc) => {
            let (seconds, nanos) = parts(per_second);
            DateTime::from_timestamp(seconds, nanos).map(|moment| written(moment, is_utc))
        }
        _ => None,
    };
    // What no calendar has stays a number.
    text.map_or(Dynamic::from_int(number), Dynamic::from)
}

fn written(moment: DateTime<chrono::Utc>, is_utc: bool) -> String {
    let text = moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string();
    if is_utc { text + "Z" } else { text }
}

/// The day by Julius Scaliger's count, on which 1970 began.
const JULIAN_1970: i64 = 2_440_588;

/// Nanoseconds of a day, then its number: how Impala wrote moments, and Spark for long.
fn moment_of_96(value: &Int96) -> Dynamic {
    let [low, high, day] = [0, 1, 2].map(|at| value.data().get(at).copied().unwrap_or(0));
    let nanos = (u64::from(high) << 32 | u64::from(low)) as i64;
    let midnight = DateTime::from_timestamp((i64::from(day) - JULIAN_1970) * 86_400, 0);
    let moment = midnight.and_then(|midnight| midnight.checked_add_signed(TimeDelta::nanoseconds(nanos)));
    moment.map_or(Dynamic::UNIT, |moment| Dynamic::from(written(moment, false)))
}

/// Bytes of a number that the column says.
fn fixed(bytes: &[u8], meaning: Meaning) -> Dynamic {
    match (meaning, bytes) {
        (Meaning::Half, &[low, high]) => {
            Dynamic::from_float(super::super::arrays::half(u16::from_le_bytes([low, high])))
        }
        (Meaning::Decimal(scale), bytes) => decimal(bytes, scale),
        (Meaning::Uuid, bytes) if bytes.len() == 16 => {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex(&bytes[part]));
            Dynamic::from(parts.join("-"))
        }
        _ => Dynamic::from_blob(bytes.to_vec()),
    }
}

/// A whole number in two's complement, its largest byte first, times a power of ten.
fn decimal(bytes: &[u8], scale: i32) -> Dynamic {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1.0 } else { 0.0 };
    let number = bytes
        .iter()
        .fold(start, |number, byte| number * 256.0 + f64::from(*byte));
    Dynamic::from_float(number / 10f64.powi(scale))
}

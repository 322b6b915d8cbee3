//! Long rows of numbers in a page: base64 of their bits, half the size of decimals, which the script decodes when a
//! row is looked at.
//!
//! `{"f32": bits}` is a row of little-endian 32-bit floats; `{"i16": bits, "peak": p}` one of little-endian 16-bit
//! integers in units of p / 32767, -32768 where there is no number.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Number, Value, json};

use super::rows;
use crate::stop;

/// Shorter rows stay as they are.
const LEAST: usize = 8;

/// Calls `change` with every row of 32-bit floats in `value` that is worth packing, and puts what it gives in the
/// row's place.
pub(super) fn each(value: &mut Value, change: &mut impl FnMut(&Row) -> Option<Value>) {
    match value {
        Value::Array(items) => match Row::looked_at(items) {
            Some(row) => {
                if let Some(new) = change(&row) {
                    *value = new;
                }
            }
            None => items.iter_mut().for_each(|item| each(item, change)),
        },
        Value::Object(fields) => fields.values_mut().for_each(|field| each(field, change)),
        _ => {}
    }
}

/// Puts the shortest decimal that is the same 32-bit float in the place of every number that is one: 0.1 for
/// 0.10000000149011612. The script's `decimal` does the same.
pub(super) fn shorten(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = float(number) {
                *value = float.to_string().parse().unwrap_or(f64::NAN).into();
            }
        }
        Value::Array(items) => {
            stop::look();
            items.iter_mut().for_each(shorten);
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// The float that a number is.
fn float(number: &Number) -> Option<f32> {
    let double = number.as_f64().filter(|_| number.is_f64())?;
    (f64::from(double as f32) == double).then_some(double as f32)
}

/// Floats, NaN where the document has `null`.
pub(super) struct Row(Vec<f32>);

impl Row {
    /// [`Self::of`], where nobody has interrupted it.
    fn looked_at(items: &[Value]) -> Option<Self> {
        stop::look();
        Self::of(items)
    }

    /// `None` where an item is something else: text, a whole number, a double that is no 32-bit float.
    fn of(items: &[Value]) -> Option<Self> {
        let is_long = items.len() >= LEAST && items.iter().any(Value::is_f64);
        let item = |item: &Value| match item {
            Value::Null => Some(f32::NAN),
            Value::Number(number) => float(number),
            _ => None,
        };
        is_long.then(|| items.iter().map(item).collect::<Option<_>>().map(Self))?
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In whole steps of the row's largest / 32767, so that a page needs two bytes for each.
    pub(super) fn round(&self) -> Value {
        let peak = f64::from(rows::peak(&self.0));
        let step = |value: &f32| match value.is_finite() {
            true => Value::from((f64::from(unit(*value, peak)) / 32767.0 * peak) as f32),
            false => Value::Null,
        };
        self.0.iter().map(step).collect()
    }

    /// The row's bits; rows that were rounded need fewer.
    pub(super) fn pack(&self, is_exact: bool) -> Value {
        if is_exact {
            let bytes: Vec<u8> = self.0.iter().flat_map(|value| value.to_le_bytes()).collect();
            return json!({"f32": STANDARD.encode(bytes)});
        }
        let peak = rows::peak(&self.0);
        let units = self.0.iter().map(|value| unit(*value, peak.into()));
        let bytes: Vec<u8> = units.flat_map(i16::to_le_bytes).collect();
        json!({"i16": STANDARD.encode(bytes), "peak": peak})
    }
}

fn unit(value: f32, peak: f64) -> i16 {
    match (value.is_finite(), peak > 0.0) {
        (true, true) => (f64::from(value) / peak * 32767.0).round() as i16,
        (true, false) => 0,
        (false, _) => i16::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(packed: &Value, name: &str) -> Vec<u8> {
        STANDARD.decode(packed[name].as_str().unwrap()).unwrap()
    }

    fn row(values: &[f32]) -> Value {
        serde_json::to_value(values).unwrap()
    }

    const VALUES: [f32; 8] = [0.5, -0.25, 0.000_1, f32::NAN, 1e-30, 0.0, 0.1, 0.3];

    #[test]
    fn packing_keeps_every_float() {
        let mut packed = row(&VALUES);
        each(&mut packed, &mut |row| Some(row.pack(true)));
        let floats = bytes(&packed, "f32");
        let floats: Vec<f32> = floats
            .chunks(4)
            .map(|bits| f32::from_le_bytes(bits.try_into().unwrap()))
            .collect();
        assert!(floats[3].is_nan());
        assert_eq!((&floats[..3], &floats[4..]), (&VALUES[..3], &VALUES[4..]));
    }

    #[test]
    fn rounding_keeps_four_digits_of_the_peak() {
        let mut rounded = row(&VALUES);
        each(&mut rounded, &mut |row| Some(row.round()));
        let mut packed = rounded.clone();
        shorten(&mut rounded);
        assert_eq!(rounded[0], 0.5);
        assert_eq!(rounded[2], 0.000_106_814_78);
        assert_eq!(rounded[3], Value::Null);
        each(&mut packed, &mut |row| Some(row.pack(false)));
        let units: Vec<i16> = bytes(&packed, "i16")
            .chunks(2)
            .map(|bits| i16::from_le_bytes(bits.try_into().unwrap()))
            .collect();
        assert_eq!(units, [32767, -16384, 7, i16::MIN, 0, 0, 6553, 19660]);
        assert_eq!(packed["peak"], 0.5);
    }

    #[test]
    fn floats_are_short_decimals_and_doubles_stay() {
        let mut values = json!([0.1f32, 1e-30f32, 0.5, 0.1, 3, null]);
        shorten(&mut values);
        assert_eq!(values.to_string(), "[0.1,1e-30,0.5,0.1,3,null]");
    }

    #[test]
    fn what_is_no_row_of_floats_stays() {
        let rows = json!({
            "short": [0.5, 0.25],
            "whole": vec![1; 20],
            "doubles": vec![0.123_456_789_012_345; 20],
            "mixed": ["a", 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
            "missing": vec![Value::Null; 20],
        });
        let mut packed = rows.clone();
        each(&mut packed, &mut |row| Some(row.pack(true)));
        assert_eq!(packed, rows);
    }
}

//! A JSON object and nothing else: what serde derives for a struct takes an array as well, its fields in their order.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// A `T` that was written as a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfFields<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(OfFields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Deserialize)]
    struct Told<'a> {
        id: String,
        #[serde(borrow)]
        source: Option<&'a RawValue>,
    }

    #[test]
    fn fields_by_name_only() {
        let told: Object<Told<'_>> = serde_json::from_str(r#"{"source":{"n": 1.10},"id":"a","more":[]}"#).unwrap();
        assert_eq!((told.0.id.as_str(), told.0.source.unwrap().get()), ("a", r#"{"n": 1.10}"#));
        for text in [r#"["a",{}]"#, r#"["a",null]"#, r#""a""#, "null", "[]", "{}", r#"{"id":1}"#] {
            assert!(serde_json::from_str::<Object<Told<'_>>>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Told<'_>>(r#"["a",null]"#).is_ok(), "then it would not be needed");
    }
}

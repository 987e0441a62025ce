//! The maps of the loaded object, by name and type: the object comes in, a typed map or its first value goes out.

use aya::maps::{Array, Map, MapData, MapError};

use super::{error::ProbeError, object::Object, wire::Wire};

/// Takes a map out of the object. It fails if the object has none of that name, or if it has another type.
pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(
    object: &mut Object,
    name: &'static str,
) -> Result<T, ProbeError> {
    let map = object
        .take_map(name)
        .ok_or(ProbeError::Missing { kind: "map", name })?;
    T::try_from(map).map_err(|source| ProbeError::Map { name, source })
}

/// Reads the only entry of an array map.
pub(super) fn first<T: Copy>(
    array: &Array<MapData, Wire<T>>,
    name: &'static str,
) -> Result<T, ProbeError>
where
    Wire<T>: aya::Pod,
{
    array
        .get(&0, 0)
        .map(|Wire(value)| value)
        .map_err(|source| ProbeError::Map { name, source })
}

//! A vector whose places are used again, each use with its own generation, so that a stale id finds nothing.
//!
//! Transactions and legs live in such slabs. Not a map: nothing is looked up by content here.

/// A place and which use of it. `T` of another use is never returned for it (until 2²⁷ uses of one place later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlabId {
    /// Dense, for tables beside the slab.
    pub index: u32,
    /// Which use of that index; below [`GENERATIONS`].
    pub generation: u32,
}

/// Generations wrap here: 27 bits, so that an id fits into a transmit id with its kind.
pub const GENERATIONS: u32 = 1 << 27;

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    content: Option<T>,
}

/// A vector whose places are used again; an id of an earlier use finds nothing.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// How many are in use.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `content` into a free place.
    ///
    /// # Panics
    /// Beyond 2³² entries, which no machine holds.
    pub fn insert(&mut self, content: T) -> SlabId {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.content = Some(content);
            return SlabId { index, generation: place.generation };
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2^32 entries fit into memory");
        self.places.push(Place { generation: 0, content: Some(content) });
        SlabId { index, generation: 0 }
    }

    /// Takes it out; its place serves again under a new generation.
    pub fn remove(&mut self, id: SlabId) -> Option<T> {
        let place =
            self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)?;
        let content = place.content.take()?;
        place.generation = (place.generation + 1) % GENERATIONS;
        self.free.push(id.index);
        Some(content)
    }

    /// The content, if the id is still valid.
    pub fn get(&self, id: SlabId) -> Option<&T> {
        let place = self.places.get(id.index as usize).filter(|place| place.generation == id.generation)?;
        place.content.as_ref()
    }

    /// The content, if the id is still valid.
    pub fn get_mut(&mut self, id: SlabId) -> Option<&mut T> {
        let place =
            self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)?;
        place.content.as_mut()
    }

    /// What stands at `index` now, whichever use it is, with its id.
    pub fn at(&self, index: u32) -> Option<(SlabId, &T)> {
        let place = self.places.get(index as usize)?;
        place.content.as_ref().map(|content| (SlabId { index, generation: place.generation }, content))
    }

    /// The ids of all, by place.
    pub fn ids(&self) -> Vec<SlabId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// All, by place.
    pub fn iter(&self) -> impl Iterator<Item = (SlabId, &T)> {
        self.places.iter().zip(0u32..).filter_map(|(place, index)| {
            place.content.as_ref().map(|content| (SlabId { index, generation: place.generation }, content))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index, first.index);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
        assert_eq!(slab.at(first.index).map(|(id, _)| id), Some(second));
        assert_eq!(slab.remove(second), Some("second"));
        assert!(slab.is_empty());
    }
}

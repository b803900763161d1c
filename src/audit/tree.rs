//! The Merkle tree over the entries, as in RFC 6962: leaves are hashed with 0x00 in front, inner nodes
//! with 0x01, and a tree of n leaves splits at the largest power of two below n.
//!
//! ```text
//! level 2            ·                     a complete subtree of 2^level leaves never changes again,
//! level 1      ·           ·               so each is kept once, under (level, index)
//! level 0   ·     ·     ·     ·     ·      the hashes of the entries
//! ```
//!
//! An append completes one subtree on average and at most log n; [`Peaks`] is all it needs to know.

use sha2::{Digest, Sha256};

use super::Hash;

/// RFC 6962 hashes inner nodes with this byte in front and leaves with 0x00.
const NODE: u8 = 0x01;

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([NODE]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A complete subtree: `index` counts those of its level from the left, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// It has 2^level leaves; level 0 are the leaves themselves.
    pub level: u8,
    pub index: u64,
    pub hash: Hash,
}

/// The complete subtrees that a tree consists of, the largest first: one for each 1 in its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// Peaks of a tree of `size` leaves, whose nodes `node` knows by level and index.
    pub fn load<E>(size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Self, E> {
        let hashes = peaks_of(size).map(|(level, index)| node(level, index)).collect::<Result<_, _>>()?;
        Ok(Peaks { size, hashes })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; returns the inner nodes that it completed, lowest first.
    pub fn push(&mut self, leaf: Hash) -> Vec<Node> {
        let mut completed = Vec::new();
        let (mut hash, mut index) = (leaf, self.size);
        for level in 1..=self.size.trailing_ones() as u8 {
            // A trailing one in the size is a complete subtree of that level, waiting for its sibling.
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            index /= 2;
            completed.push(Node { level, index, hash });
        }
        self.hashes.push(hash);
        self.size += 1;
        completed
    }

    /// The hash of the whole tree.
    pub fn root(&self) -> Hash {
        let joined = self.hashes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }
}

/// Where the complete subtrees of a tree of `size` leaves are, the largest first.
fn peaks_of(size: u64) -> impl Iterator<Item = (u8, u64)> {
    (0..64_u8).rev().filter(move |level| size >> level & 1 == 1).map(move |level| (level, (size >> level) - 1))
}

/// The hash of the leaves from `first` up to and without `end`, by RFC 6962 section 2.1. `first` must be
/// a multiple of the largest power of two below the number of leaves, as every part of a tree is.
pub fn range_hash<E>(first: u64, end: u64, node: &mut impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let count = end - first;
    if count.is_power_of_two() {
        let level = count.trailing_zeros() as u8;
        return node(level, first >> level);
    }
    let middle = first + split(count);
    let left = range_hash(first, middle, node)?;
    Ok(node_hash(&left, &range_hash(middle, end, node)?))
}

/// The largest power of two below `count`, which is at least 2.
pub(super) fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn leaf_hash(data: &[u8]) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(data);
        hasher.finalize().into()
    }

    /// The inputs of the reference tests of Certificate Transparency.
    fn inputs() -> Vec<Vec<u8>> {
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .iter()
            .map(|digits| hex::decode(digits).unwrap())
            .collect()
    }

    /// A tree with every node it keeps.
    pub(crate) struct Kept {
        pub peaks: Peaks,
        nodes: HashMap<(u8, u64), Hash>,
    }

    impl Kept {
        pub(crate) fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
            let mut kept = Kept { peaks: Peaks::default(), nodes: HashMap::new() };
            for leaf in leaves {
                kept.nodes.insert((0, kept.peaks.size()), leaf);
                let completed = kept.peaks.push(leaf);
                kept.nodes.extend(completed.into_iter().map(|node| ((node.level, node.index), node.hash)));
            }
            kept
        }

        pub(crate) fn node(&self) -> impl FnMut(u8, u64) -> Result<Hash, Infallible> + '_ {
            |level, index| Ok(self.nodes[&(level, index)])
        }
    }

    pub(crate) fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962 section 2.1, word for word and without anything kept.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    /// The roots that the reference implementation gives for the first 0 to 8 of its inputs.
    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, root) in roots.into_iter().enumerate() {
            let kept = Kept::of(inputs()[..size].iter().map(|input| leaf_hash(input)));
            assert_eq!(hex::encode(kept.peaks.root()), root, "{size} leaves");
        }
    }

    proptest! {
        #[test]
        fn the_root_is_the_defined_one_however_it_is_come_by(count in 1_u64..200) {
            let kept = Kept::of(leaves(count));
            let root = by_definition(&leaves(count));
            prop_assert_eq!(kept.peaks.root(), root);
            prop_assert_eq!(range_hash(0, count, &mut kept.node()), Ok(root));
            prop_assert_eq!(Peaks::load(count, kept.node()), Ok(kept.peaks.clone()));
        }
    }

    /// An append writes one node on average and log n at most.
    #[test]
    fn an_append_completes_few_nodes() {
        let mut peaks = Peaks::default();
        let completed: Vec<usize> = leaves(1024).into_iter().map(|leaf| peaks.push(leaf).len()).collect();
        assert_eq!((completed.iter().sum::<usize>(), completed.iter().max()), (1023, Some(&10)));
    }
}

//! Proofs over the tree: that an entry is in it, and that a larger tree begins with a smaller one
//! (RFC 6962 sections 2.1.1 and 2.1.2; checked as RFC 9162 section 2.1.3.2 and 2.1.4.2 say).

use super::Hash;
use super::tree::{node_hash, range_hash, split};

/// The siblings on the way from leaf `index` (from zero) to the root of a tree of `size` leaves.
pub fn inclusion<E>(index: u64, size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let (mut first, mut end) = (0, size);
    let mut path = Vec::new();
    while end - first > 1 {
        let middle = first + split(end - first);
        let left = index < middle;
        let (other_first, other_end) = if left { (middle, end) } else { (first, middle) };
        path.push(range_hash(other_first, other_end, &mut node)?);
        (first, end) = if left { (first, middle) } else { (middle, end) };
    }
    path.reverse();
    Ok(path)
}

/// The nodes that show that the tree of `new` leaves begins with that of `old`; nothing for an empty
/// or an equal one. `old` must not be larger than `new`.
pub fn consistency<E>(old: u64, new: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut first, mut end) = (0, new);
    while old != end {
        let middle = first + split(end - first);
        let left = old <= middle;
        let (other_first, other_end) = if left { (middle, end) } else { (first, middle) };
        proof.push(range_hash(other_first, other_end, &mut node)?);
        (first, end) = if left { (first, middle) } else { (middle, end) };
    }
    // Whoever checks knows the old root; it is left out where it is a node of the new tree itself.
    if first != 0 {
        proof.push(range_hash(first, end, &mut node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether the tree of `new` leaves with this root begins with the tree of `old` leaves.
pub fn is_consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    match old {
        _ if old > new => false,
        _ if old == new => proof.is_empty() && old_root == new_root,
        0 => proof.is_empty(),
        _ => roots_of_consistency(old, old_root, new, proof) == Some((*old_root, *new_root)),
    }
}

/// The two roots that follow from a consistency proof, for 0 < old < new.
fn roots_of_consistency(old: u64, old_root: &Hash, new: u64, proof: &[Hash]) -> Option<(Hash, Hash)> {
    let mut hashes = proof.iter();
    let start = if old.is_power_of_two() { old_root } else { hashes.next()? };
    let (mut small, mut large) = (*start, *start);
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    for hash in hashes {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            (small, large) = (node_hash(hash, &small), node_hash(hash, &large));
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            large = node_hash(&large, hash);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some((small, large))
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::{Kept, leaves};
    use super::*;

    const LARGEST: u64 = 40;

    /// The root that follows from a leaf and its inclusion proof; `None` if the proof does not fit the place.
    fn root_of_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
        if index >= size {
            return None;
        }
        let (mut place, mut last, mut root) = (index, size - 1, *leaf);
        for sibling in proof {
            if last == 0 {
                return None;
            }
            if place & 1 == 1 || place == last {
                root = node_hash(sibling, &root);
                // A subtree without a right sibling moves up until it is one.
                while place & 1 == 0 && place != 0 {
                    (place, last) = (place >> 1, last >> 1);
                }
            } else {
                root = node_hash(&root, sibling);
            }
            (place, last) = (place >> 1, last >> 1);
        }
        (last == 0).then_some(root)
    }

    #[test]
    fn every_leaf_of_every_tree_is_proven_and_no_other() {
        let leaves = leaves(LARGEST);
        for size in 1..=LARGEST {
            let kept = Kept::of(leaves[..size as usize].iter().copied());
            for index in 0..size {
                let proof = inclusion(index, size, kept.node()).unwrap();
                let root = |leaf: u64, place| root_of_inclusion(&leaves[leaf as usize], place, size, &proof);
                assert_eq!(root(index, index), Some(kept.peaks.root()), "{index} of {size}");
                for other in (0..size).filter(|other| *other != index) {
                    assert_ne!(root(other, index), Some(kept.peaks.root()), "{other} at {index} of {size}");
                    assert_ne!(root(index, other), Some(kept.peaks.root()), "{index} at {other} of {size}");
                }
            }
        }
    }

    #[test]
    fn every_tree_is_consistent_with_every_smaller_one_and_a_changed_proof_with_none() {
        let leaves = leaves(LARGEST);
        let roots: Vec<Hash> =
            (0..=LARGEST).map(|size| Kept::of(leaves[..size as usize].iter().copied()).peaks.root()).collect();
        let kept = Kept::of(leaves.iter().copied());
        for new in 1..=LARGEST {
            for old in 0..=new {
                let proof = consistency(old, new, kept.node()).unwrap();
                let holds =
                    |old_root: &Hash, proof: &[Hash]| is_consistent(old, old_root, new, &roots[new as usize], proof);
                assert!(holds(&roots[old as usize], &proof), "{old} in {new}");
                if old > 0 {
                    assert!(!holds(&[7; 32], &proof), "another old tree of {old} in {new}");
                }
                for place in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[place][0] ^= 1;
                    assert!(!holds(&roots[old as usize], &changed), "{old} in {new}, hash {place}");
                }
                let longer = [proof.as_slice(), &[[7; 32]]].concat();
                assert!(!holds(&roots[old as usize], &longer), "{old} in {new} with one more");
            }
        }
    }

    /// A proof of the example in RFC 6962 section 2.1.3: the tree of 7 leaves and its leaf d3.
    #[test]
    fn the_example_of_the_rfc() {
        let all = leaves(7);
        let kept = Kept::of(all.iter().copied());
        let (a_b, e_f) = (node_hash(&all[0], &all[1]), node_hash(&all[4], &all[5]));
        assert_eq!(inclusion(3, 7, kept.node()).unwrap(), [all[2], a_b, node_hash(&e_f, &all[6])]);
        let (g, h) = (node_hash(&all[0], &all[1]), node_hash(&all[2], &all[3]));
        let l = node_hash(&node_hash(&all[4], &all[5]), &all[6]);
        assert_eq!(consistency(3, 7, kept.node()).unwrap(), [all[2], all[3], g, l]);
        assert_eq!(consistency(4, 7, kept.node()).unwrap(), [l]);
        assert_eq!(consistency(6, 7, kept.node()).unwrap(), [e_f, all[6], node_hash(&g, &h)]);
    }
}

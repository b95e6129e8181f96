//! Steps of several walks at once, none of which branches on data, so that their loads overlap.

/// Walks of more steps than this are looked at now and then, whether all have arrived: of a deep tree most end long
/// before the deepest.
const DEEP: u32 = 12;

/// Steps between two looks.
const STRIDE: u32 = 4;

/// Where walks that start at `from` are after `steps` steps, by `step(lane, at)`. One that has arrived stays where it is,
/// so that steps too many do no harm.
#[inline(always)]
pub(super) fn advance<const N: usize>(from: [u32; N], steps: u32, step: impl Fn(usize, u32) -> u32) -> [u32; N] {
    let mut at = from;
    if steps <= DEEP {
        for _ in 0..steps {
            for lane in 0..N {
                at[lane] = step(lane, at[lane]);
            }
        }
        return at;
    }
    for _ in 0..steps.div_ceil(STRIDE) {
        for _ in 1..STRIDE {
            for lane in 0..N {
                at[lane] = step(lane, at[lane]);
            }
        }
        let mut moved = 0;
        for lane in 0..N {
            let next = step(lane, at[lane]);
            moved |= next ^ at[lane];
            at[lane] = next;
        }
        if moved == 0 {
            break;
        }
    }
    at
}

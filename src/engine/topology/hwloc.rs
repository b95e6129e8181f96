//! What hwloc says. It knows more machines than `/sys` does, and takes a description in `HWLOC_SYNTHETIC` in place of the
//! machine, for trying things out. CPUs that the affinity mask leaves out and quotas are read as without it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use hwlocality::Topology as Hwloc;
use hwlocality::object::TopologyObject;
use hwlocality::object::types::ObjectType;

use super::{Cpu, Topology, sysfs};

impl Topology {
    /// This machine, as hwloc sees it.
    ///
    /// # Errors
    /// hwloc or Linux says nothing of it.
    pub fn from_hwloc() -> io::Result<Self> {
        let hwloc = Hwloc::new().map_err(io::Error::other)?;
        if !hwloc.is_this_system() {
            return Ok(Self::assemble(cpus(&hwloc), None, None));
        }
        let root = Path::new("/");
        let allowed: BTreeSet<usize> = sysfs::allowed(root)?;
        Ok(Self::assemble(cpus(&hwloc), Some(&allowed), sysfs::quota(root)?))
    }
}

/// The CPUs in use, each on the first of the NUMA nodes it is near to.
fn cpus(hwloc: &Hwloc) -> impl Iterator<Item = Cpu> {
    hwloc.objects_with_type(ObjectType::PU).filter_map(|unit| {
        let number = unit.os_index()?;
        let core = unit.ancestors().find(|object| object.object_type() == ObjectType::Core);
        let core = core.map_or(number, TopologyObject::logical_index);
        let node = unit.nodeset().and_then(|nodes| nodes.first_set()).map_or(0, usize::from);
        Some(Cpu { number, core, node })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::topology::Pinning;

    #[test]
    fn a_described_machine_has_a_pool_for_each_node() {
        let builder = Hwloc::builder().from_synthetic("node:2 core:3 pu:2").unwrap();
        let topology = Topology::assemble(cpus(&builder.build().unwrap()), None, None);
        assert_eq!((topology.nodes(), topology.cores.len(), topology.n_cpus()), (vec![0, 1], 6, 12));
        assert_eq!(topology.cores[3].cpus, [6, 7]);
        let placement = topology.place(None, Pinning::Auto).unwrap();
        assert_eq!(placement.pools.iter().map(|pool| pool.workers.len()).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(placement.pools[1].workers[0].as_deref(), Some(&[6, 7, 8, 9, 10, 11][..]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hwloc_and_sysfs_agree_on_this_machine() {
        assert_eq!(Topology::from_hwloc().unwrap(), Topology::read(Path::new("/")).unwrap());
    }
}

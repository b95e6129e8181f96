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
    use std::process::Command;

    use super::*;
    use crate::engine::topology::{Pinning, Placement};

    fn described(description: &str) -> Topology {
        let hwloc = Hwloc::builder().from_synthetic(description).unwrap().build().unwrap();
        Topology::assemble(cpus(&hwloc), None, None)
    }

    fn workers(placement: &Placement) -> Vec<(Option<usize>, usize)> {
        placement.pools.iter().map(|pool| (pool.node, pool.workers.len())).collect()
    }

    #[test]
    fn a_described_machine_has_a_pool_for_each_node() {
        let topology = described("node:2 core:3 pu:2");
        assert_eq!((topology.nodes(), topology.cores.len(), topology.n_cpus()), (vec![0, 1], 6, 12));
        assert_eq!(topology.cores[3].cpus, [6, 7]);
        let placement = topology.place(None, Pinning::Auto).unwrap();
        assert_eq!(workers(&placement), [(Some(0), 3), (Some(1), 3)]);
        assert_eq!(placement.pools[1].workers[0].as_deref(), Some(&[6, 7, 8, 9, 10, 11][..]));
        let cores = topology.place(None, Pinning::Core).unwrap();
        assert_eq!(cores.pools[1].workers[2].as_deref(), Some(&[10, 11][..]));
    }

    #[test]
    fn a_machine_of_one_node_is_not_pinned() {
        let topology = described("pack:1 l3:2 core:2 pu:1");
        assert_eq!((topology.nodes(), topology.cores.len()), (vec![0], 4));
        assert_eq!(workers(&topology.place(None, Pinning::Auto).unwrap()), [(None, 4)]);
    }

    /// Two memories beside one package, such as fast and large ones: the second has no CPUs of its own.
    #[test]
    fn a_node_without_cpus_of_its_own_has_no_pool() {
        let topology = described("pack:2 [numa] [numa] core:2 pu:1");
        assert_eq!((topology.nodes().len(), topology.cores.len()), (2, 4));
        let placement = topology.place(None, Pinning::Auto).unwrap();
        assert_eq!(workers(&placement).iter().map(|(_, workers)| *workers).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn cpus_that_are_not_allowed_are_not_used() {
        let hwloc = Hwloc::builder().from_synthetic("node:2 core:2 pu:2").unwrap().build().unwrap();
        let allowed = BTreeSet::from([1, 2, 3, 7]);
        let topology = Topology::assemble(cpus(&hwloc), Some(&allowed), Some(1.5));
        let cores: Vec<_> = topology.cores.iter().map(|core| (core.node, core.cpus.clone())).collect();
        assert_eq!(cores, [(0, vec![1]), (0, vec![2, 3]), (1, vec![7])]);
        assert_eq!(workers(&topology.place(None, Pinning::Auto).unwrap()), [(Some(0), 1)]);
        assert!(topology.place(None, Pinning::Core).unwrap_err().is_option());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hwloc_and_sysfs_agree_on_this_machine() {
        assert_eq!(Topology::from_hwloc().unwrap(), Topology::read(Path::new("/")).unwrap());
    }

    /// The variable is read when a process asks first, so this one asks another, which runs the test below.
    #[test]
    fn the_environment_may_describe_a_machine() {
        let asked = "engine::topology::hwloc::tests::what_is_detected_is_what_the_environment_describes";
        let machines = [("node:2 core:3 pu:2", "2 6 12"), ("node:4 core:1 pu:1", "4 4 4"), ("core:8 pu:2", "1 8 16")];
        for (machine, expected) in machines {
            let mut process = Command::new(std::env::current_exe().unwrap());
            process.args(["--exact", asked]).env("HWLOC_SYNTHETIC", machine).env(EXPECTED, expected);
            let output = process.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{machine}: {said}");
        }
    }

    /// Nodes, cores and CPUs that the process which runs a test expects; not set where a person runs it.
    const EXPECTED: &str = "SAWMILL_TEST_TOPOLOGY";

    #[test]
    fn what_is_detected_is_what_the_environment_describes() {
        let Ok(expected) = std::env::var(EXPECTED) else { return };
        let topology = Topology::detect();
        assert_eq!(topology.downgrade, None);
        assert_eq!(format!("{} {} {}", topology.nodes().len(), topology.cores.len(), topology.n_cpus()), expected);
    }
}

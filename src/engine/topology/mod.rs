//! The machine as a scheduler sees it: which cores this process may use, on which NUMA nodes they are, and how much of
//! their time it may have; and which worker goes where.
//!
//! [`Topology::detect`] reads Linux's `/proc` and `/sys` (`sysfs.rs`), or asks hwloc (feature `hwloc`). Where neither
//! answers, the machine is taken for one node with as many cores as the standard library counts. [`Topology::place`] is
//! the policy; it touches no thread. [`pin_current_thread`] is what a worker calls when it starts.

#[cfg(feature = "hwloc")]
mod hwloc;
mod sysfs;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// The cores that this process may use.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Topology {
    /// Physical cores, by node and then by number.
    pub cores: Vec<Core>,
    /// CPUs' worth of time that the cgroup grants, if it limits them.
    pub quota: Option<f64>,
    /// What could not be read, in words, if something could not.
    pub downgrade: Option<String>,
}

/// A physical core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Core {
    /// The NUMA node, as the system numbers it.
    pub node: usize,
    /// Its hardware threads that this process may use, as the system numbers CPUs.
    pub cpus: Vec<usize>,
}

/// Where worker threads may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinning {
    /// Anywhere on a machine with one NUMA node, each on one node of a machine with several.
    #[default]
    Auto,
    /// Anywhere.
    None,
    /// Each on the CPUs of one NUMA node.
    Node,
    /// Each on a core of its own. Refused under a quota below the allowed CPUs: a thread that is throttled could not
    /// be helped by an idle core.
    Core,
}

/// Which workers there are, and where each may run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// One for each NUMA node in use; a single one if workers run anywhere.
    pub pools: Vec<WorkerPool>,
}

/// Workers that share a NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerPool {
    /// The node; none if its workers run anywhere.
    pub node: Option<usize>,
    /// The CPUs of each worker; none if it runs anywhere.
    pub workers: Vec<Option<Vec<usize>>>,
}

/// A CPU and where it is.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    number: usize,
    /// Any number that the CPUs of a core share.
    core: usize,
    node: usize,
}

impl Topology {
    /// This machine. Does not fail: [`downgrade`](Self::downgrade) says what could not be read.
    pub fn detect() -> Self {
        #[cfg(feature = "hwloc")]
        let detected = Self::from_hwloc();
        #[cfg(not(feature = "hwloc"))]
        let detected = Self::read(Path::new("/"));
        detected.unwrap_or_else(|error| {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            Self { downgrade: Some(format!("topology: {error}")), ..Self::flat(cpus) }
        })
    }

    /// A machine of one node with `cores` cores of one hardware thread each.
    pub fn flat(cores: usize) -> Self {
        let cpus = (0..cores.max(1)).map(|number| Cpu { number, core: number, node: 0 });
        Self::assemble(cpus, None, None)
    }

    /// Reads `proc` and `sys` below `root`, which is `/` for this machine.
    ///
    /// # Errors
    /// `proc/self/status` cannot be read, or a file that is there is not what Linux writes.
    pub fn read(root: &Path) -> io::Result<Self> {
        let allowed = sysfs::allowed(root)?;
        let cpus = sysfs::cpus(root, &allowed)?;
        Ok(Self::assemble(cpus.into_iter(), None, sysfs::quota(root)?))
    }

    fn assemble(cpus: impl Iterator<Item = Cpu>, allowed: Option<&BTreeSet<usize>>, quota: Option<f64>) -> Self {
        let mut cores: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for Cpu { number, core, node } in cpus {
            if allowed.is_none_or(|allowed| allowed.contains(&number)) {
                cores.entry((node, core)).or_default().push(number);
            }
        }
        let cores = cores.into_iter().map(|((node, _), cpus)| Core { node, cpus }).collect();
        Self { cores, quota, downgrade: None }
    }

    /// CPUs that this process may use.
    pub fn n_cpus(&self) -> usize {
        self.cores.iter().map(|core| core.cpus.len()).sum()
    }

    /// NUMA nodes that have such CPUs.
    pub fn nodes(&self) -> Vec<usize> {
        let mut nodes: Vec<_> = self.cores.iter().map(|core| core.node).collect();
        nodes.dedup();
        nodes
    }

    /// How many workers suit the machine: one for each physical core, fewer under a quota, at least one.
    pub fn n_workers(&self) -> usize {
        let granted = self.quota.map_or(usize::MAX, |quota| quota as usize);
        self.cores.len().min(granted).max(1)
    }

    /// Says where `workers` workers run; none stands for [`n_workers`](Self::n_workers). Nodes get workers in proportion
    /// to their cores; a node that gets none has no pool.
    ///
    /// # Errors
    /// An option error that names the limit: no workers, or [`Pinning::Core`] under a quota below the allowed CPUs or for
    /// more workers than cores.
    pub fn place(&self, workers: Option<usize>, pinning: Pinning) -> Result<Placement> {
        let n_workers = workers.unwrap_or_else(|| self.n_workers());
        if n_workers == 0 {
            return Err(Error::option("0, but somebody has to do the work").at("workers"));
        }
        let pinning = match pinning {
            Pinning::Auto if self.nodes().len() > 1 => Pinning::Node,
            Pinning::Auto => Pinning::None,
            chosen => chosen,
        };
        if pinning == Pinning::None || self.cores.is_empty() {
            return Ok(Placement { pools: vec![WorkerPool { node: None, workers: vec![None; n_workers] }] });
        }
        if pinning == Pinning::Core {
            self.check_cores(n_workers)?;
        }
        let nodes = self.nodes();
        let cores_of = |node| self.cores.iter().filter(move |core| core.node == node);
        let mut pools: Vec<_> =
            nodes.iter().map(|&node| WorkerPool { node: Some(node), workers: Vec::new() }).collect();
        for _ in 0..n_workers {
            // The node whose cores would be shared least.
            let share = |at: &usize| (pools[*at].workers.len() + 1) as f64 / cores_of(nodes[*at]).count() as f64;
            let at = (0..nodes.len()).min_by(|a, b| share(a).total_cmp(&share(b))).expect("there are cores");
            let cpus = match pinning {
                Pinning::Core => cores_of(nodes[at]).nth(pools[at].workers.len()).expect("checked").cpus.clone(),
                _ => cores_of(nodes[at]).flat_map(|core| core.cpus.iter().copied()).collect(),
            };
            pools[at].workers.push(Some(cpus));
        }
        pools.retain(|pool| !pool.workers.is_empty());
        Ok(Placement { pools })
    }

    fn check_cores(&self, n_workers: usize) -> Result<()> {
        let refuse = |finding: String| Err(Error::option(finding).at("pinning"));
        match self.quota {
            Some(quota) if quota < self.n_cpus() as f64 => refuse(format!(
                "to cores, but the cgroup grants the time of {quota} CPUs and allows {}: pinned threads would be stopped \
                 while other CPUs are free",
                self.n_cpus()
            )),
            _ if n_workers > self.cores.len() => {
                refuse(format!("to cores: {n_workers} workers, but there are {} cores", self.cores.len()))
            }
            _ => Ok(()),
        }
    }
}

impl Placement {
    /// Workers of all pools.
    pub fn n_workers(&self) -> usize {
        self.pools.iter().map(|pool| pool.workers.len()).sum()
    }
}

/// Lets the calling thread run on these CPUs only.
///
/// # Errors
/// The system refuses, or has no way to do it; the thread then runs where it did before.
pub fn pin_current_thread(cpus: &[usize]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut set = rustix::thread::CpuSet::new();
        if let Some(cpu) = cpus.iter().find(|&&cpu| cpu >= rustix::thread::CpuSet::MAX_CPU) {
            return Err(io::Error::other(format!("CPU {cpu} is beyond what a mask holds")));
        }
        cpus.iter().for_each(|&cpu| set.set(cpu));
        Ok(rustix::thread::sched_setaffinity(None, &set)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpus;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cores` cores on each node, of two hardware threads each.
    fn machine(cores: &[usize]) -> Topology {
        let mut cpus = Vec::new();
        for (node, &cores) in cores.iter().enumerate() {
            for _ in 0..cores {
                let first = cpus.len();
                cpus.extend([first, first + 1].map(|number| Cpu { number, core: first, node }));
            }
        }
        Topology::assemble(cpus.into_iter(), None, None)
    }

    fn counts(placement: &Placement) -> Vec<(Option<usize>, usize)> {
        placement.pools.iter().map(|pool| (pool.node, pool.workers.len())).collect()
    }

    #[test]
    fn one_node_needs_no_pinning() {
        let placement = machine(&[4]).place(None, Pinning::Auto).unwrap();
        assert_eq!(placement.pools, [WorkerPool { node: None, workers: vec![None; 4] }]);
    }

    #[test]
    fn several_nodes_have_a_pool_each() {
        let placement = machine(&[2, 4]).place(None, Pinning::Auto).unwrap();
        assert_eq!(counts(&placement), [(Some(0), 2), (Some(1), 4)]);
        assert_eq!(placement.pools[0].workers, vec![Some(vec![0, 1, 2, 3]); 2]);
        let few = machine(&[2, 4]).place(Some(1), Pinning::Node).unwrap();
        assert_eq!(counts(&few), [(Some(1), 1)]);
        let many = machine(&[2, 4]).place(Some(60), Pinning::Node).unwrap();
        assert_eq!(counts(&many), [(Some(0), 20), (Some(1), 40)]);
    }

    #[test]
    fn a_core_has_one_worker() {
        let placement = machine(&[2, 2]).place(None, Pinning::Core).unwrap();
        let cpus: Vec<_> = placement.pools.iter().flat_map(|pool| pool.workers.iter().flatten()).collect();
        assert_eq!(cpus, [&[0, 1], &[2, 3], &[4, 5], &[6, 7]]);
        let error = machine(&[2]).place(Some(3), Pinning::Core).unwrap_err();
        assert_eq!(error.to_string(), "pinning: to cores: 3 workers, but there are 2 cores");
    }

    #[test]
    fn a_quota_limits_workers_and_forbids_cores() {
        let machine = Topology { quota: Some(2.5), ..machine(&[4]) };
        assert_eq!(machine.place(None, Pinning::Auto).unwrap().n_workers(), 2);
        let error = machine.place(None, Pinning::Core).unwrap_err();
        assert!(error.is_option());
        assert!(
            error.to_string().starts_with("pinning: to cores, but the cgroup grants the time of 2.5 CPUs and allows 8")
        );
        assert!(machine.place(None, Pinning::Node).is_ok());
        assert_eq!(Topology { quota: Some(0.5), ..machine.clone() }.n_workers(), 1);
        assert!(Topology { quota: Some(8.0), ..machine }.place(None, Pinning::Core).is_ok());
        assert!(Topology::flat(1).place(Some(0), Pinning::Auto).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_stays_where_it_is_pinned() {
        let topology = Topology::detect();
        assert_eq!(topology.downgrade, None);
        let cpus = topology.cores[0].cpus.clone();
        std::thread::spawn(move || {
            pin_current_thread(&cpus).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert_eq!(sysfs::listed(&status, "Cpus_allowed_list:").unwrap().into_iter().collect::<Vec<_>>(), cpus);
            assert!(pin_current_thread(&[]).is_err(), "the system refuses an empty set");
            assert!(pin_current_thread(&[usize::MAX]).is_err());
        })
        .join()
        .unwrap();
    }
}

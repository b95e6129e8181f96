//! What Linux says in `/proc` and `/sys`. Every reader takes the root of the file system.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use super::Cpu;

/// The greatest CPU number that is believed.
const MAX_CPU: usize = 1 << 16;

/// The CPUs that the process may run on: what its affinity mask and cpuset leave, and is online.
pub(super) fn allowed(root: &Path) -> io::Result<BTreeSet<usize>> {
    let mut allowed = listed(&fs::read_to_string(root.join("proc/self/status"))?, "Cpus_allowed_list:")?;
    if let Some(online) = optional(&root.join("sys/devices/system/cpu/online"))? {
        let online = list(&online)?;
        allowed.retain(|cpu| online.contains(cpu));
    }
    match allowed.is_empty() {
        true => Err(invalid("no CPU is allowed")),
        false => Ok(allowed),
    }
}

/// Where each of these CPUs is. One that nothing is said of is a core of its own on node 0.
pub(super) fn cpus(root: &Path, allowed: &BTreeSet<usize>) -> io::Result<Vec<Cpu>> {
    let nodes = nodes(root)?;
    let place = |&number: &usize| {
        let topology = root.join(format!("sys/devices/system/cpu/cpu{number}/topology"));
        // The second name is that of kernels before 5.3.
        let siblings = match optional(&topology.join("core_cpus_list"))? {
            Some(siblings) => Some(siblings),
            None => optional(&topology.join("thread_siblings_list"))?,
        };
        let core = siblings.map(|text| list(&text)).transpose()?.and_then(|siblings| siblings.first().copied());
        let node = nodes.iter().find(|(_, cpus)| cpus.contains(&number)).map_or(0, |(node, _)| *node);
        Ok(Cpu { number, core: core.unwrap_or(number), node })
    };
    allowed.iter().map(place).collect()
}

/// NUMA nodes with their CPUs, of which a node may have none.
fn nodes(root: &Path) -> io::Result<Vec<(usize, BTreeSet<usize>)>> {
    let directory = root.join("sys/devices/system/node");
    let mut nodes = Vec::new();
    for entry in directory.read_dir().into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(node) = name.to_str().and_then(|name| name.strip_prefix("node")?.parse().ok()) {
            nodes.push((node, list(&fs::read_to_string(entry.path().join("cpulist"))?)?));
        }
    }
    Ok(nodes)
}

/// CPUs' worth of time that the cgroup and those above it grant.
pub(super) fn quota(root: &Path) -> io::Result<Option<f64>> {
    let Some(memberships) = optional(&root.join("proc/self/cgroup"))? else { return Ok(None) };
    let mount = root.join("sys/fs/cgroup");
    let mut least: Option<f64> = None;
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let granted = match controllers {
            // Version 2, alone or beside version 1.
            "" => granted(&[mount.clone(), mount.join("unified")], path, version_2)?,
            _ if controllers.split(',').any(|controller| controller == "cpu") => {
                granted(&[mount.join(controllers), mount.join("cpu")], path, version_1)?
            }
            _ => None,
        };
        least = smaller(least, granted);
    }
    Ok(least)
}

type Read = fn(&Path) -> io::Result<Option<f64>>;

/// The least that a cgroup or one above it grants. In a container the path may be the host's and lead nowhere; the mount
/// is then the container's own cgroup.
fn granted(mounts: &[PathBuf], path: &str, read: Read) -> io::Result<Option<f64>> {
    let steps: Vec<_> = Path::new(path).components().filter(|step| matches!(step, Component::Normal(_))).collect();
    let mut least = None;
    for mount in mounts {
        for depth in 0..=steps.len() {
            least = smaller(least, read(&mount.join(steps[..depth].iter().collect::<PathBuf>()))?);
        }
    }
    Ok(least)
}

fn version_2(cgroup: &Path) -> io::Result<Option<f64>> {
    let Some(text) = optional(&cgroup.join("cpu.max"))? else { return Ok(None) };
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["max", ..] => Ok(None),
        [quota, period] => Ok(Some(number(quota)? / number(period)?)),
        _ => Err(invalid(format!("cpu.max: {text:?}"))),
    }
}

fn version_1(cgroup: &Path) -> io::Result<Option<f64>> {
    let (quota, period) = (optional(&cgroup.join("cpu.cfs_quota_us"))?, optional(&cgroup.join("cpu.cfs_period_us"))?);
    let (Some(quota), Some(period)) = (quota, period) else { return Ok(None) };
    match quota.trim() {
        "-1" => Ok(None),
        quota => Ok(Some(number(quota)? / number(period.trim())?)),
    }
}

fn smaller(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The list that follows `name` in a status file.
pub(super) fn listed(status: &str, name: &str) -> io::Result<BTreeSet<usize>> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    list(line.ok_or_else(|| invalid(format!("no {name}")))?)
}

/// `0-3,8` and the like.
fn list(text: &str) -> io::Result<BTreeSet<usize>> {
    let mut cpus = BTreeSet::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bound = |text: &str| text.parse().ok().filter(|cpu: &usize| *cpu < MAX_CPU);
        let (Some(first), Some(last)) = (bound(first), bound(last)) else {
            return Err(invalid(format!("not a list of CPUs: {text:?}")));
        };
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

fn number(text: &str) -> io::Result<f64> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| invalid(format!("not a time: {text:?}")))
}

/// The text of a file that need not be there.
fn optional(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn invalid(finding: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, finding.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Pinning, Topology, WorkerPool};
    use super::*;

    /// A root with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const SIBLINGS: [(&str, &str); 8] = [
        ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,4\n"),
        ("sys/devices/system/cpu/cpu4/topology/core_cpus_list", "0,4\n"),
        ("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "1,5\n"),
        ("sys/devices/system/cpu/cpu5/topology/core_cpus_list", "1,5\n"),
        ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6\n"),
        ("sys/devices/system/cpu/cpu6/topology/thread_siblings_list", "2,6\n"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3,7\n"),
        ("sys/devices/system/cpu/cpu7/topology/thread_siblings_list", "3,7\n"),
    ];

    fn read(files: &[(&str, &str)]) -> Topology {
        Topology::read(tree(files).path()).unwrap()
    }

    fn cores(topology: &Topology) -> Vec<(usize, Vec<usize>)> {
        topology.cores.iter().map(|core| (core.node, core.cpus.clone())).collect()
    }

    #[test]
    fn two_nodes_have_two_pools() {
        let mut files = SIBLINGS.to_vec();
        files.extend([
            ("proc/self/status", "Name:\tsawmill\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"),
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("sys/devices/system/node/node0/cpulist", "0-1,4-5\n"),
            ("sys/devices/system/node/node1/cpulist", "2-3,6-7\n"),
        ]);
        let topology = read(&files);
        assert_eq!(cores(&topology), [(0, vec![0, 4]), (0, vec![1, 5]), (1, vec![2, 6]), (1, vec![3, 7])]);
        assert_eq!(topology.quota, None);
        let placement = topology.place(None, Pinning::Auto).unwrap();
        let pool = |node, cpus: [usize; 4]| WorkerPool { node: Some(node), workers: vec![Some(cpus.to_vec()); 2] };
        assert_eq!(placement.pools, [pool(0, [0, 4, 1, 5]), pool(1, [2, 6, 3, 7])]);
    }

    #[test]
    fn a_node_without_cpus_has_no_pool() {
        let topology = read(&[
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node1/cpulist", "\n"),
            ("sys/devices/system/node/possible", "0-1\n"),
        ]);
        assert_eq!((topology.nodes(), topology.cores.len()), (vec![0], 4));
        assert_eq!(topology.place(None, Pinning::Auto).unwrap().pools[0].node, None);
    }

    #[test]
    fn excluded_and_offline_cpus_are_not_used() {
        let mut files = SIBLINGS.to_vec();
        files.extend([
            ("proc/self/status", "Cpus_allowed_list:\t1-3,5-7\n"),
            ("sys/devices/system/cpu/online", "0-6\n"),
            ("sys/devices/system/node/node0/cpulist", "0-7\n"),
        ]);
        let topology = read(&files);
        assert_eq!(cores(&topology), [(0, vec![1, 5]), (0, vec![2, 6]), (0, vec![3])]);
        let placement = topology.place(None, Pinning::Core).unwrap();
        assert_eq!(placement.pools[0].workers, [Some(vec![1, 5]), Some(vec![2, 6]), Some(vec![3])]);
    }

    #[test]
    fn the_least_quota_on_the_way_up_counts() {
        let status = ("proc/self/status", "Cpus_allowed_list:\t0-7\n");
        let version_2 = [
            status,
            ("proc/self/cgroup", "0::/kube/pod\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/kube/cpu.max", "250000 100000\n"),
            ("sys/fs/cgroup/kube/pod/cpu.max", "max 100000\n"),
        ];
        let topology = read(&version_2);
        assert_eq!((topology.quota, topology.n_workers()), (Some(2.5), 2));
        assert!(topology.place(None, Pinning::Core).unwrap_err().is_option());
        let version_1 = [
            status,
            ("proc/self/cgroup", "9:memory:/\n4:cpu,cpuacct:/host/path\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(read(&version_1).quota, Some(1.5));
        let unlimited = [
            status,
            ("proc/self/cgroup", "1:cpu:/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(read(&unlimited).quota, None);
    }

    #[test]
    fn what_linux_does_not_write_is_an_error() {
        let error = |files: &[(&str, &str)]| Topology::read(tree(files).path()).unwrap_err().to_string();
        assert_eq!(error(&[("proc/self/status", "Name: x\n")]), "no Cpus_allowed_list:");
        assert_eq!(error(&[("proc/self/status", "Cpus_allowed_list:\t\n")]), "no CPU is allowed");
        let status = |list: &str| format!("Cpus_allowed_list:\t{list}\n");
        for list in ["0-x", "4294967296", "0-99999999999"] {
            assert!(error(&[("proc/self/status", &status(list))]).starts_with("not a list of CPUs"), "{list}");
        }
        for max in ["1 2 3", "0 100000", "100000 -1", "nan 1"] {
            let files = [
                ("proc/self/status", "Cpus_allowed_list: 0"),
                ("proc/self/cgroup", "0::/../..\n"),
                ("sys/fs/cgroup/cpu.max", max),
            ];
            assert!(error(&files).starts_with(if max == "1 2 3" { "cpu.max" } else { "not a time" }), "{max}");
        }
        assert!(Topology::read(Path::new("/nowhere")).is_err());
    }
}

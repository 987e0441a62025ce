//! What a control group is for: a container, a pod, a systemd unit, by the names that runtimes
//! give to their groups.
//!
//! In: the group's path, as in `/proc/PID/cgroup`. Out: the names in it. Pure: it knows no
//! container by any other name than the path's.

/// Digits of a container's id that are shown; runtimes show as many.
const ID_DIGITS: usize = 12;
/// Digits of a whole id.
const WHOLE_ID_DIGITS: usize = 64;

/// What a path says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Runtime and id of the container, `docker/0123456789ab`.
    pub container: Option<String>,
    /// The container's whole id.
    pub container_id: Option<String>,
    /// Uid of the Kubernetes pod.
    pub pod: Option<String>,
    /// The innermost systemd unit that is no slice.
    pub unit: Option<String>,
}

impl Place {
    /// Reads a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut place = Self::default();
        let mut parent = "";
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if let Some(uid) = pod(part) {
                place.pod = Some(uid);
            } else if let Some((runtime, id)) = container(part, parent, place.pod.is_some()) {
                let digits = id.get(..ID_DIGITS).unwrap_or(id);
                place.container = Some(format!("{runtime}/{digits}"));
                place.container_id = is_whole_id(id).then(|| id.to_owned());
            } else if is_unit(part) {
                place.unit = Some(part.to_owned());
            }
            parent = part;
        }
        place
    }
}

/// The uid of a pod: `pod<uid>` with the cgroupfs driver, `kubepods-<class>-pod<uid>.slice` with
/// systemd's, where dashes of the uid are underscores.
fn pod(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice") {
        Some(slice) => slice
            .strip_prefix("kubepods-")?
            .rsplit_once("pod")
            .map(|(_, uid)| uid)?,
        None => part.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // A static pod's uid is a hash of its file, without dashes.
    let is_uid = uid.len() >= 32
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

/// Runtime and id of a container's own group.
fn container<'a>(part: &'a str, parent: &str, in_pod: bool) -> Option<(&'static str, &'a str)> {
    const SCOPES: [(&str, &str); 5] = [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("crio-", "cri-o"),
        ("libpod-", "podman"),
        ("nerdctl-", "containerd"),
    ];
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (prefix, runtime) in SCOPES {
        if let Some(id) = name.strip_prefix(prefix)
            && is_whole_id(id)
        {
            return Some((runtime, id));
        }
    }
    if let Some(id) = part.strip_prefix("lxc.payload.") {
        return Some(("lxc", id));
    }
    if parent == "lxc" {
        return Some(("lxc", part));
    }
    if !is_whole_id(part) {
        return None;
    }
    match parent {
        "docker" => Some(("docker", part)),
        // The cgroupfs driver does not tell which runtime it is.
        _ if in_pod => Some(("container", part)),
        _ => None,
    }
}

fn is_whole_id(id: &str) -> bool {
    id.len() == WHOLE_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_unit(part: &str) -> bool {
    [".service", ".scope", ".socket", ".mount", ".swap"]
        .iter()
        .any(|suffix| part.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::Place;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn place(path: &str) -> (Option<String>, Option<String>, Option<String>) {
        let place = Place::of(path);
        (place.container, place.pod, place.unit)
    }

    #[test]
    fn container_runtime_is_recognised_by_its_scope() {
        for (path, runtime) in [
            (format!("/system.slice/docker-{ID}.scope"), "docker"),
            (format!("/docker/{ID}"), "docker"),
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                "podman",
            ),
        ] {
            let (container, pod, _) = place(&path);
            assert_eq!(container, Some(format!("{runtime}/0123456789ab")), "{path}");
            assert_eq!(pod, None);
            assert_eq!(Place::of(&path).container_id.as_deref(), Some(ID));
        }
    }

    #[test]
    fn pods_have_a_uid_with_either_driver() {
        let uid = "6a8a43d3-6ae4-4b70-9b3b-2c1f9c2d9b10";
        let slice = uid.replace('-', "_");
        for (path, runtime) in [
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/\
                     cri-containerd-{ID}.scope"
                ),
                "containerd",
            ),
            (
                format!("/kubepods.slice/kubepods-pod{slice}.slice/crio-{ID}.scope"),
                "cri-o",
            ),
            (format!("/kubepods/besteffort/pod{uid}/{ID}"), "container"),
        ] {
            let (container, pod, _) = place(&path);
            assert_eq!(container, Some(format!("{runtime}/0123456789ab")), "{path}");
            assert_eq!(pod.as_deref(), Some(uid), "{path}");
        }
    }

    #[test]
    fn units_are_the_innermost_ones() {
        assert_eq!(
            place("/system.slice/ssh.service").2.as_deref(),
            Some("ssh.service")
        );
        assert_eq!(
            place("/user.slice/user-1000.slice/user@1000.service/app.slice/tmux.scope")
                .2
                .as_deref(),
            Some("tmux.scope")
        );
    }

    #[test]
    fn similar_cgroup_path_is_not_a_container() {
        for path in [
            "/",
            "",
            "/system.slice",
            "/docker-abc.scope.d",
            "/podium",
            "/crio-conmon-0123.slice",
        ] {
            assert_eq!(place(path), (None, None, None), "{path}");
        }
        assert_eq!(place("/docker-abc.scope").0, None);
    }

    #[test]
    fn lxc_has_names() {
        assert_eq!(
            place("/lxc.payload.web/system.slice/nginx.service")
                .0
                .as_deref(),
            Some("lxc/web")
        );
        assert_eq!(place("/lxc/web").0.as_deref(), Some("lxc/web"));
    }
}

//! Agents as processes of this machine, in the sandbox and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bench::{Bench, PATH, execution, launch, processes_of, request, until};
use ozma_app::ports::{ContainerStatus, Launched, Launcher};
use ozma_domain::environment::Network;
use ozma_domain::repository::Repository;
use ozma_domain::run::Isolation;
use ozma_local::launcher::{Host, Prefer};

const BOTH: [Prefer; 2] = [Prefer::Isolation, Prefer::Process];

/// A program that ends itself when asked to, and its like that does not.
const GENTLE: &str = "trap 'echo finalised; exit 0' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
const STUBBORN: &str =
    "trap '' TERM; (setsid bash -c 'trap \"\" TERM; sleep 1000; :' &); echo ready; while :; do sleep 1; done";

/// Runs the script as an agent to its end, and gives what it printed.
async fn run(bench: &mut Bench, change: impl FnOnce(&mut ozma_app::ports::LaunchRequest)) -> String {
    let launcher = bench.launcher();
    let mut request = request(execution(0), 3);
    change(&mut request);
    launch(&launcher, &request).await;
    let (ended, reason) = bench.exit().await;
    let log = bench.log(ended);
    assert_eq!(reason.as_deref(), Some("exit code 0"), "{log}");
    log
}

#[tokio::test]
async fn an_agent_sees_its_own_variables_and_no_others() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, "tr '\\0' '\\n' </proc/$$/environ | sort; echo $*");
        let sandbox = bench.sandboxed(&bench.launcher()).await;
        let execution = execution(0);
        let log = run(&mut bench, |request| request.execution = execution).await;
        let (isolation, url, workspace) = if sandbox {
            ("bubblewrap", "unix:/run/oz/oz.sock".to_owned(), "/workspace".to_owned())
        } else {
            let socket = bench.path("socket/oz.sock");
            let workspace = bench.folder(execution).join("workspace");
            ("process", format!("unix:{}", socket.display()), workspace.display().to_string())
        };
        let expected = format!(
            "OZ_CLAIM_TOKEN=token-once\nOZ_CONTROL_URL={url}\nOZ_EXECUTION_ID={execution}\nOZ_ISOLATION={isolation}\n\
             OZ_WORKSPACE={workspace}\nPATH={PATH}\nagent-process\n"
        );
        assert_eq!(log, expected);
    }
}

#[tokio::test]
async fn a_sandbox_holds_the_workspace_and_nothing_else_of_the_machine() {
    let script = r#"
        check() { if eval "$2" >/dev/null 2>&1; then echo "$1 yes"; else echo "$1 no"; fi; }
        check workspace 'touch /workspace/x && mkdir -p /workspace/home/y'
        check tmp 'touch /tmp/x && touch /workspace/tmp/z && test -e /tmp/z'
        check var-tmp 'touch /var/tmp/x'
        check shm 'touch /dev/shm/x'
        for place in / /usr /usr/local /etc /oz /run /run/oz /dev /var /opt /proc; do check "write $place" "touch $place/x"; done
        check shadow 'cat /etc/shadow'
        check home 'ls /root/.ssh || ls /home/*'
        check data "ls $DATA"
        check kill-host 'kill -0 $PPID'
        check only-own-processes '[ $(ls /proc | grep -c "^[0-9]") -lt 8 ]'
        check mount 'mount -t tmpfs none /workspace/home'
        check privileges 'grep -q "CapEff:.0000000000000000" /proc/self/status && grep -q "NoNewPrivs:.1" /proc/self/status'
        check named 'getent passwd $(id -u) | grep -q ":/workspace/home:"'
        check root '[ $(id -u) = 0 ]'
        check tty 'echo x >/dev/tty'
        check null 'echo x >/dev/null'
        check namespaces 'for n in pid ipc mnt uts user; do readlink /proc/self/ns/$n; done'
        for n in pid ipc mnt uts user; do readlink /proc/self/ns/$n; done
        echo limit $(ulimit -u)
    "#;
    let mut bench = Bench::new(Prefer::Isolation, "");
    let data = bench.path("data");
    fs::write(bench.path("oz"), format!("#!/bin/bash\nDATA={}\n{script}", data.display())).unwrap();
    fs::set_permissions(bench.path("oz"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("admin.key"), "secret").unwrap();
    if !bench.sandboxed(&bench.launcher()).await {
        return;
    }
    let log = run(&mut bench, |_| ()).await;
    let yes = |name: &str| assert!(log.contains(&format!("{name} yes\n")), "{name}: {log}");
    let no = |name: &str| assert!(log.contains(&format!("{name} no\n")), "{name}: {log}");
    ["workspace", "tmp", "var-tmp", "shm", "only-own-processes", "privileges", "named", "null", "namespaces"]
        .iter()
        .for_each(|name| yes(name));
    for place in ["/", "/usr", "/usr/local", "/etc", "/oz", "/run", "/run/oz", "/dev", "/var", "/opt", "/proc"] {
        no(&format!("write {place}"));
    }
    ["shadow", "home", "data", "mount", "root", "tty"].iter().for_each(|name| no(name));
    assert!(log.contains("limit 5120\n"), "{log}");
    for namespace in ["pid", "ipc", "mnt", "uts", "user"] {
        let ours = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        let theirs = log.lines().find(|line| line.starts_with(&format!("{namespace}:[")));
        assert!(theirs.is_some_and(|theirs| theirs != ours.to_str().unwrap()), "{namespace}: {log}");
    }
}

#[tokio::test]
async fn tools_at_home_work_and_the_rest_of_home_is_not_there() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, "");
        let home = bench.path("home");
        let write = |path: &str, text: &str| {
            let path = home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        write(".cargo/bin/cargo", "#!/bin/sh\ncat \"$HOME/.rustup/settings.toml\"\n");
        write(".cargo/credentials.toml", "secret");
        write(".rustup/settings.toml", "tools work\n");
        write(".ssh/id_ed25519", "secret");
        write(".pyenv/shims/python9", &format!("#!{}/.pyenv/bin/run\n", home.display()));
        write(".pyenv/bin/run", "#!/bin/sh\necho shims work\n");
        let script = format!(
            "#!/bin/bash\nexport HOME=$OZ_WORKSPACE/home\ncargo\npython9\ntouch $HOME/.cargo/registry && echo cache\n\
             ls -A {0} {0}/.cargo\ntouch {0}/x {0}/.cargo/bin/x 2>&1\ncd $HOME && ls .cargo/bin",
            home.display()
        );
        fs::write(bench.path("oz"), script).unwrap();
        bench.host =
            Host { path: format!("{0}/.cargo/bin:{0}/.pyenv/shims:{PATH}", home.display()).into(), home: Some(home) };
        let sandbox = bench.sandboxed(&bench.launcher()).await;
        let launcher = bench.launcher();
        launch(&launcher, &request(execution(0), 0)).await;
        let (ended, reason) = bench.exit().await;
        let log = bench.log(ended);
        assert_eq!(reason.as_deref(), Some("exit code 0"), "{log}");
        assert!(log.starts_with("tools work\nshims work\ncache\n") && log.contains("\ncargo\n"), "{log}");
        if sandbox {
            assert!(!log.contains("ssh") && !log.contains("credentials") && log.contains("Read-only"), "{log}");
        }
    }
}

#[tokio::test]
async fn the_cargo_of_this_machine_works_in_the_sandbox() {
    let (Some(path), Some(home)) = (option_env!("PATH"), option_env!("HOME")) else { return };
    if !Path::new(home).join(".cargo/bin/cargo").exists() {
        return;
    }
    let mut bench = Bench::new(Prefer::Isolation, "export HOME=$OZ_WORKSPACE/home; cargo --version");
    bench.host = Host { path: path.into(), home: Some(home.into()) };
    if bench.sandboxed(&bench.launcher()).await {
        let log = run(&mut bench, |_| ()).await;
        assert!(log.starts_with("cargo 1."), "{log}");
    }
}

#[tokio::test]
async fn repositories_of_this_machine_can_be_cloned_from_folders_closed_to_others() {
    let home = Path::new(option_env!("HOME").unwrap_or("/none"));
    let mut places = vec![std::env::temp_dir()];
    places.extend(tempfile::tempdir_in(home).is_ok().then(|| home.to_owned()));
    for place in places {
        let mut bench = Bench::below(&place, Prefer::Isolation, "");
        let git = |folder: &Path, arguments: &[&str]| {
            let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
            let output = Command::new("git").args(identity).arg("-C").arg(folder).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        let main = bench.path("repository");
        fs::create_dir(&main).unwrap();
        git(&main, &["init", "--quiet"]);
        fs::write(main.join("file"), "committed\n").unwrap();
        git(&main, &["add", "."]);
        git(&main, &["commit", "--quiet", "-m", "one"]);
        fs::write(main.join(".env"), "secret").unwrap();
        git(&main, &["worktree", "add", "--quiet", "../tree"]);
        git(&main, &["clone", "--quiet", "--bare", ".", "../bare.git"]);
        git(&main, &["clone", "--quiet", "--shared", ".", "../shared"]);
        let names = ["repository", "tree", "bare.git", "shared"];
        let mut script = "#!/bin/bash\nexport HOME=$OZ_WORKSPACE/home; cd $OZ_WORKSPACE\n".to_owned();
        for (number, name) in names.iter().enumerate() {
            let path = bench.path(name);
            script += &format!("git clone --quiet file://{} {number} && cat {number}/file\n", path.display());
        }
        script += &format!(
            "ls {} {}\ntest -w /run/oz/oz.sock && echo reachable\n",
            bench.path("repository/.env").display(),
            bench.path("plain").display()
        );
        fs::write(bench.path("oz"), script).unwrap();
        fs::create_dir(bench.path("plain")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket/oz.sock")).unwrap();
        fs::set_permissions(bench.path("socket/oz.sock"), fs::Permissions::from_mode(0o666)).unwrap();
        if !bench.sandboxed(&bench.launcher()).await {
            return;
        }
        let url = |name: &str| format!("file://{}", bench.path(name).display()).parse().unwrap();
        let urls: Vec<_> = names.iter().chain(&["plain"]).map(|name| url(name)).collect();
        let repositories = urls.into_iter().map(|url| Repository { url, reference: None }).collect();
        let log = run(&mut bench, |request| request.repositories = repositories).await;
        assert_eq!(log.matches("committed\n").count(), 4, "{log}");
        assert_eq!(log.matches("No such file").count(), 2, "{log}");
        assert!(log.ends_with("reachable\n"), "{log}");
    }
}

#[tokio::test]
async fn without_network_there_is_none() {
    let mut bench = Bench::new(Prefer::Isolation, "tail -n +3 /proc/net/dev | cut -d: -f1");
    if bench.sandboxed(&bench.launcher()).await {
        let log = run(&mut bench, |request| request.network = Network::None).await;
        assert_eq!(log.trim(), "lo");
    }
    bench.prefer = Prefer::Process;
    let mut request = request(execution(1), 0);
    request.network = Network::None;
    match bench.launcher().launch(&request).await.unwrap() {
        Launched::Refused { reason } => assert!(reason.contains("no network"), "{reason}"),
        other => panic!("let out: {other:?}"),
    }
}

#[tokio::test]
async fn without_an_engine_and_a_sandbox_there_are_plain_processes() {
    let mut bench = Bench::new(Prefer::Isolation, "true");
    bench.engines = vec![bench.path("no-engine.sock")];
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    bench.host.path = empty.into();
    let mut request = request(execution(0), 0);
    request.image = Some("debian:13".to_owned());
    let launcher = bench.launcher();
    assert_eq!(launch(&launcher, &request).await, Isolation::Process);
    bench.exit().await;
}

#[tokio::test]
async fn stopping_reaches_the_agent_itself() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, GENTLE);
        let launcher = bench.launcher();
        let execution = execution(0);
        launch(&launcher, &request(execution, 0)).await;
        bench.logged(execution, "ready").await;
        assert_eq!(launcher.status(execution).await.unwrap(), ContainerStatus::Alive);
        assert_eq!(launcher.list().await.unwrap(), [execution]);
        launcher.stop(execution).await.unwrap();
        launcher.stop(execution).await.unwrap();
        assert_eq!(bench.exit().await, (execution, Some("exit code 0".to_owned())));
        assert_eq!(bench.log(execution), "ready\nfinalised\n");
        let reason = Some("exit code 0".to_owned());
        assert_eq!(
            launcher.status(execution).await.unwrap(),
            ContainerStatus::Gone { end: reason.map(ozma_app::ports::ContainerEnd::from) }
        );
        assert_eq!(launcher.list().await.unwrap(), []);
        launcher.stop(execution).await.unwrap();
    }
}

#[tokio::test]
async fn who_does_not_end_is_ended_with_all_it_started() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, STUBBORN);
        bench.grace = Duration::from_millis(300);
        let launcher = bench.launcher();
        let execution = execution(0);
        launch(&launcher, &request(execution, 0)).await;
        bench.logged(execution, "ready").await;
        let begin = Instant::now();
        launcher.stop(execution).await.unwrap();
        let (_, reason) = bench.exit().await;
        assert_eq!(reason.as_deref(), Some("exit code 137, killed by SIGKILL"));
        assert!((300..8_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
        assert_eq!(processes_of(execution), [""; 0]);
    }
}

#[tokio::test]
async fn a_stop_right_after_the_launch_is_not_lost() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, STUBBORN);
        bench.grace = Duration::from_millis(100);
        let launcher = bench.launcher();
        let execution = execution(0);
        launch(&launcher, &request(execution, 0)).await;
        launcher.stop(execution).await.unwrap();
        bench.exit().await;
        assert_eq!(processes_of(execution), [""; 0]);
    }
}

#[tokio::test]
async fn what_an_agent_leaves_behind_goes_with_it() {
    let script = "mkdir -p $OZ_WORKSPACE/a/b; echo x >$OZ_WORKSPACE/a/b/c; chmod 0 $OZ_WORKSPACE/a/b; chmod 555 $OZ_WORKSPACE/a $OZ_WORKSPACE
        (setsid bash -c 'trap \"\" TERM HUP; sleep 1000; :' &) ; (setsid setsid sleep 1000 &); exit 3";
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, script);
        let launcher = bench.launcher();
        let execution = execution(0);
        launch(&launcher, &request(execution, 0)).await;
        assert_eq!(bench.exit().await, (execution, Some("exit code 3".to_owned())));
        assert_eq!(processes_of(execution), [""; 0]);
        assert!(!bench.folder(execution).join("workspace").exists());
        let trash = bench.path("data/trash");
        until("the workspace is removed", || fs::read_dir(&trash).is_ok_and(|entries| entries.count() == 0)).await;
    }
}

#[tokio::test]
async fn a_launch_repeated_starts_nothing_twice() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, GENTLE);
        let launcher = bench.launcher();
        let request = request(execution(0), 0);
        let (first, second) = tokio::join!(launch(&launcher, &request), launch(&launcher, &request));
        assert_eq!(first, second);
        bench.logged(request.execution, "ready").await;
        assert_eq!(launch(&launcher, &request).await, first);
        launcher.stop(request.execution).await.unwrap();
        bench.exit().await;
        assert_eq!(bench.log(request.execution), "ready\nfinalised\n");
    }
}

#[tokio::test]
async fn agents_outlive_the_control_plane_and_are_found_again() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, GENTLE);
        let before = bench.launcher();
        let execution = execution(0);
        let started = launch(&before, &request(execution, 0)).await;
        bench.logged(execution, "ready").await;
        drop(before);

        let after = bench.launcher();
        after.adopt().await;
        assert_eq!(after.status(execution).await.unwrap(), ContainerStatus::Alive);
        assert_eq!(after.list().await.unwrap(), [execution]);
        assert_eq!(launch(&after, &request(execution, 0)).await, started);
        after.stop(execution).await.unwrap();
        let (ended, reason) = bench.exit().await;
        assert_eq!(ended, execution);
        if started == Isolation::Bubblewrap {
            assert_eq!(reason.as_deref(), Some("exit code 0"));
        }
        assert_eq!(bench.log(execution), "ready\nfinalised\n");
        assert_eq!(processes_of(execution), [""; 0]);
    }
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_told_later() {
    for prefer in BOTH {
        let script = "(setsid sleep 1000 &); while ! [ -e /run/oz/go ] && ! [ -e ${OZ_CONTROL_URL#unix:}.go ]; do sleep 0.02; done; exit 4";
        let mut bench = Bench::new(prefer, script);
        let before = bench.launcher();
        let execution = execution(0);
        let isolation = launch(&before, &request(execution, 0)).await;
        drop(before);
        fs::write(bench.path("socket/go"), "").unwrap();
        fs::write(bench.path("socket/oz.sock.go"), "").unwrap();
        let ended = || match isolation {
            Isolation::Bubblewrap => fs::read_to_string(bench.folder(execution).join("status.json"))
                .unwrap_or_default()
                .contains("exit-code"),
            _ => !processes_of(execution).iter().any(|line| line.contains("agent")),
        };
        until("the agent has ended", ended).await;

        let after = bench.launcher();
        after.adopt().await;
        let (ended, reason) = bench.exit().await;
        assert_eq!(ended, execution);
        let expected = match isolation {
            Isolation::Bubblewrap => "exit code 4",
            _ => "ended while the control plane was away",
        };
        assert_eq!(reason.as_deref(), Some(expected));
        assert_eq!(processes_of(execution), [""; 0]);
        assert!(!bench.folder(execution).join("workspace").exists());
        // Told once.
        drop(after);
        let again = bench.launcher();
        again.adopt().await;
        let reason = Some(expected.to_owned());
        assert_eq!(
            again.status(execution).await.unwrap(),
            ContainerStatus::Gone { end: reason.map(ozma_app::ports::ContainerEnd::from) }
        );
        assert!(tokio::time::timeout(Duration::from_millis(100), bench.exit()).await.is_err());
    }
}

#[tokio::test]
async fn a_slot_is_used_again_when_its_agent_is_gone() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, GENTLE);
        let launcher = bench.launcher();
        let (first, second) = (execution(0), execution(1));
        launch(&launcher, &request(first, 7)).await;
        bench.logged(first, "ready").await;
        let next = request(second, 7);
        let next = launch(&launcher, &next);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut next).await.is_err());
        assert_eq!(launcher.list().await.unwrap(), [first]);
        launcher.stop(first).await.unwrap();
        next.await;
        assert_eq!(processes_of(first), [""; 0]);
        assert_eq!(bench.exit().await.0, first);
        bench.logged(second, "ready").await;
        launcher.stop(second).await.unwrap();
        bench.exit().await;
    }
}

#[tokio::test]
async fn forty_agents_start_at_once() {
    for prefer in BOTH {
        let mut bench = Bench::new(prefer, "echo hello");
        let launcher = bench.launcher();
        let requests: Vec<_> = (0..40).map(|slot| request(execution(u32::from(slot)), slot)).collect();
        let begin = Instant::now();
        futures_util::future::join_all(requests.iter().map(|request| launch(&launcher, request))).await;
        let launched = begin.elapsed();
        for _ in &requests {
            assert_eq!(bench.exit().await.1.as_deref(), Some("exit code 0"));
        }
        for request in &requests {
            assert_eq!(bench.log(request.execution), "hello\n");
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{launched:?}, {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn an_agent_that_cannot_begin_says_why() {
    let mut bench = Bench::new(Prefer::Isolation, "");
    fs::set_permissions(bench.path("oz"), fs::Permissions::from_mode(0o644)).unwrap();
    let launcher = bench.launcher();
    launch(&launcher, &request(execution(0), 0)).await;
    let reason = bench.exit().await.1.unwrap();
    assert!(reason.starts_with("exit code 126: ") && reason.contains("Permission denied"), "{reason}");
    fs::remove_file(bench.path("oz")).unwrap();
    let error = bench.launcher().launch(&request(execution(1), 0)).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no program at "), "{error}");
}

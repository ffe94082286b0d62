//! What a task can reach: its workspace, and nothing else of the machine.

use std::fs;

use crate::world::{World, until};

#[test]
fn a_task_reads_nothing_of_its_users() {
    let world = World::new();
    for (file, content) in
        [(".ssh/id_ed25519", "TOPSECRET-ssh"), (".aws/credentials", "TOPSECRET-aws"), (".netrc", "TOPSECRET-netrc")]
    {
        let path = world.home().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    if !world.is_sandboxed() {
        return;
    }
    let mut up = world.command(["up", "--port", "0"]);
    up.env("HOST_VARIABLE", "TOPSECRET-variable");
    let _up = crate::world::Live::begin(up);
    until("it serves", || world.data().join("server.json").exists().then_some(()));
    let neighbour = world.detach(&["--task", "echo TOPSECRET-neighbour > note; until [ -e go ]; do sleep 0.1; done"]);
    until("its note is written", || world.work(&neighbour, 1).join("note").exists().then_some(()));

    let admin_key = fs::read_to_string(world.data().join("admin.key")).unwrap();
    let (data, home, work) = (world.data(), world.home(), world.work(&neighbour, 1));
    let script = format!(
        "for path in {data}/admin.key {data}/claim.key {data}/vault.key {data}/table.db {data}/agents {home}/.ssh/id_ed25519 \
         {home}/.aws/credentials {home}/.netrc {work}/note /root/.ssh /etc/shadow ~/.ssh ~/.aws; do\n\
         cat $path 2> /dev/null && echo READ $path\nls $path/* 2> /dev/null && echo LISTED $path\ndone\n\
         cat /proc/*/environ /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' '\\n'\n\
         for root in /proc/[0-9]*/root; do cat $root{data}/admin.key 2> /dev/null && echo READ $root; done\n\
         grep -rl TOPSECRET / --include=note --include=credentials --include=id_ed25519 --include=.netrc \
         --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr 2> /dev/null\n\
         env; true",
        data = data.display(),
        home = home.display(),
        work = work.display(),
    );
    let told = world.oz(&["run", "--task", &script]);
    assert_eq!(told.code, Some(0), "{told}");
    let words = [admin_key.trim(), "\nREAD ", "\nLISTED ", "CLAIM_TOKEN", "claim_token", "TOPSECRET-", "HOST_VARIABLE"];
    for word in words {
        assert!(!told.stdout.contains(word), "{word:?}: {told}");
    }
    assert!(told.stdout.contains("OZ_RUN_ID="), "{told}");
    fs::write(work.join("go"), "").unwrap();
    world.end(&neighbour);
}

#[test]
fn a_task_writes_nowhere_but_in_its_workspace() {
    let world = World::new();
    if !world.is_sandboxed() {
        return;
    }
    let script = "for folder in / /etc /usr /usr/bin /opt /root /home /run /run/oz /oz /dev /sys /proc /var /var/lib /lib; do\n\
                  (echo x > $folder/ozma-was-here) 2> /dev/null && echo WROTE $folder\ndone\n\
                  for folder in . ~ /tmp /var/tmp /dev/shm $TMPDIR; do echo x > $folder/ok || echo CANNOT $folder; done\n\
                  (mount -t tmpfs none /mnt || chroot / true || umount /proc || su -c id) 2> /dev/null && echo DID; true";
    let told = world.oz(&["run", "--task", script]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), ""), "{told}");
}

#[test]
fn without_a_network_there_is_none() {
    let world = World::new();
    if !world.is_sandboxed() {
        return;
    }
    let _up = world.up(&[]);
    let server: serde_json::Value =
        serde_json::from_slice(&fs::read(world.data().join("server.json")).unwrap()).unwrap();
    let port = server["url"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    world.ok(&["environment", "create", "--name", "closed", "--network", "none"]);
    let task = format!(
        "(: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null && echo reached; ls /sys/class/net /proc/net/dev 2> /dev/null; sed -n '3,$s/:.*//p' /proc/net/dev"
    );
    let told = world.oz(&["run", "--env", "closed", "--task", &task]);
    assert!(told.code == Some(0) && !told.stdout.contains("reached") && !told.stdout.contains("eth"), "{told}");
    let told = world.oz(&["run", "--task", &task]);
    assert!(told.code == Some(0) && told.stdout.contains("reached"), "{told}");
}

#[test]
fn a_role_that_cannot_be_had_is_said_and_refused_inside_too() {
    let world = World::new();
    let _up = world.up(&[]);
    let role = "arn:aws:iam::123456789012:role/web";
    let mut create = vec!["environment", "create", "--name", "web", "--aws-role", role];
    // Loopback is there without a network as well.
    if world.is_sandboxed() {
        create.extend(["--network", "none"]);
    }
    world.ok(&create);
    let task = r#"url=${AWS_CONTAINER_CREDENTIALS_FULL_URI#http://} host=${url%%/*}
        exec 3<>"/dev/tcp/${host%:*}/${host#*:}"
        printf 'GET /%s HTTP/1.1\r\nAuthorization: %s\r\n\r\n' "${url#*/}" "$AWS_CONTAINER_AUTHORIZATION_TOKEN" >&3
        cat <&3"#;
    let told = world.oz(&["run", "--env", "web", "--task", task]);
    let why = format!("the role {role} could not be assumed");
    assert!(told.code == Some(0) && told.stdout.contains("404 Not Found") && told.stdout.contains(&why), "{told}");
    assert!(told.stderr.contains(&format!("the task has no AWS credentials: {why}")), "{told}");
}

//! Private repositories: a task works on them with tokens that it never has to know of.

use ozma_tests::pem::private_key;

use crate::forge::Forge;
use crate::world::{World, files, git};

/// A machine that may reach its own GitHub, with one private and one public repository.
fn world() -> (World, Forge) {
    let world = World::new().reaching_loopback();
    let forge = Forge::start(world.folder("forge"));
    let local = world.repository("local");
    for name in ["acme/web", "acme/api", "public/web"] {
        forge.take(name, &local);
    }
    (world, forge)
}

/// An App that answers there.
fn connect(world: &World, forge: &Forge) {
    assert_eq!(world.oz_given(&["secret", "create", "APP_KEY"], &private_key()).code, Some(0));
    world.ok(&["webhook", "create", "--name", "forge", "--scheme", "github"]);
    world.ok(&["webhook", "update", "forge", "--answer-with", "APP_KEY", "--app-id", "7", "--api-url", &forge.url]);
}

#[test]
fn a_private_repository_is_cloned_and_pushed_to_with_tokens_that_are_nowhere() {
    let (world, forge) = world();
    let up = world.up(&[]);
    connect(&world, &forge);
    let task = r#"
        cat web/greeting.txt
        cd web
        git switch --quiet --create from-a-run
        echo more > more.txt
        git add . && git commit --quiet --message 'From a run' && git push --quiet origin from-a-run && echo pushed
        git -C ../api fetch --quiet && echo fetched
        token=$(oz-agent github-token)
        test ${#token} = 30 && test "$token" = "$("$OZ_AGENT" github-token Acme/API)" && echo "the token is $token"
        printf 'protocol=http\nhost=%s\npath=acme/web.git\n\n' "$HOST" | oz-agent git-credential get | sed 's/utc=.*/utc=…/'
        printf 'protocol=http\nhost=%s\npath=acme/other.git\n\n' "$HOST" | oz-agent git-credential get
        grep --quiet --recursive "$token" . ../api || echo "written nowhere"
        git config --get-all credential.helper || echo "no helper for others"
        GIT_TRACE_CURL=1 GIT_TRACE_REDACT=0 git fetch 2>&1 | grep --only-matching 'Authorization: Basic .*' | uniq
        echo "$token" > left-behind
    "#;
    let (web, api) = (format!("{}/acme/web", forge.url), format!("{}/acme/api.git", forge.url));
    let host = forge.url.trim_start_matches("http://");
    world.ok(&[
        "environment",
        "create",
        "--name",
        "work",
        "--repo",
        &web,
        "--repo",
        &api,
        "--var",
        &format!("HOST={host}"),
    ]);
    let told = world.oz(&["run", "--env", "work", "--task", task]);
    assert_eq!(told.code, Some(0), "{told}");
    let expected = [
        "hello from the repository",
        "pushed",
        "fetched",
        "the token is ***",
        "username=x-access-token",
        "password=***",
        "password_expiry_utc=…",
        "written nowhere",
        "no helper for others",
        "Authorization: Basic eC1hY2Nlc3MtdG9rZW46***",
    ];
    assert_eq!(told.stdout.lines().collect::<Vec<_>>(), expected, "{told}");
    let reason = format!("oz-agent: no token for http://{host}/acme/other.git: tokens are for the run's repositories");
    assert!(told.to_string().contains(&reason), "{told}");
    let author = git(&forge.repository("acme/web"), &["log", "-1", "--format=%an <%ae> %s", "from-a-run"]);
    assert_eq!(author, "Ozma <agent@ozma.invalid> From a run");

    // The first was about to expire, so that there is a second; all else shares that.
    let tokens = forge.minted();
    assert_eq!(tokens.len(), 2, "{:?}", forge.requests());
    world.nothing_left();
    drop(up);
    let plain = files(&world.data()).into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?)));
    for (path, bytes) in plain.chain(world.archive()) {
        for token in &tokens {
            let holds = bytes.windows(token.len()).any(|part| part == token.as_bytes());
            assert!(!holds, "{} holds a token", path.display());
        }
    }
}

#[test]
fn without_an_app_what_is_public_is_cloned_and_what_is_not_says_what_to_do() {
    let (world, forge) = world();
    let _up = world.up(&[]);
    let [public, private] = ["public/web", "acme/web"].map(|name| format!("{}/{name}", forge.url));
    let told = world.oz(&["run", "--repo", &public, "--task", "cat greeting.txt; git push --quiet origin HEAD:x"]);
    assert_eq!((told.code, told.stdout.lines().next()), (Some(3), Some("hello from the repository")), "{told}");
    assert!(told.to_string().contains("no webhook of the team answers with a GitHub App of"), "{told}");
    let told = world.oz(&["run", "--repo", &private, "--task", "echo the task ran"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(3), ""), "{told}");
    assert!(told.stderr.contains("There is no token: no webhook of the team answers with a GitHub App of"), "{told}");
    assert!(told.stderr.contains("`oz webhook update NAME --answer-with SECRET --app-id ID`"), "{told}");
    // With one, all is well; what is public costs no token.
    connect(&world, &forge);
    world.ok(&["run", "--repo", &public, "--task", "true"]);
    assert_eq!(forge.minted().len(), 0);
    world.ok(&["run", "--repo", &private, "--task", "cat greeting.txt"]);
    assert_eq!(forge.minted().len(), 1);
}

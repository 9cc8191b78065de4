//! Tokens as people have them: the first from the database, others by commands, and that of `pawl dev` which nobody types.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis, Process, free_port};
use pawl_tests::{Client, Embedded, Target, binary, bounds, wait};
use serde_json::Value;

/// An installation of servers and an API, for commands.
struct Scene {
    postgres: PrivatePostgres,
    redis: PrivateRedis,
    url: String,
}

impl Scene {
    fn in_folder(folder: &Path) -> Result<Self> {
        let postgres = PrivatePostgres::start(&folder.join("postgres"))?;
        let redis = PrivateRedis::start(&folder.join("redis"))?;
        Ok(Self { postgres, redis, url: format!("http://127.0.0.1:{}", free_port()?) })
    }

    fn command(&self, words: &[&str], token: Option<&str>) -> Result<std::process::Command> {
        let mut pawl = binary::pawl()?;
        pawl.args(words).env("PAWL_DATABASE_URL", self.postgres.url()).env("PAWL_REDIS_URL", self.redis.url());
        pawl.env("PAWL_API_URL", &self.url).envs(token.map(|token| ("PAWL_API_TOKEN", token)));
        Ok(pawl)
    }

    fn pawl(&self, words: &[&str], token: Option<&str>) -> Result<(Option<i32>, String, String)> {
        let Output { status, stdout, stderr } = self.command(words, token)?.output()?;
        Ok((status.code(), String::from_utf8(stdout)?, String::from_utf8(stderr)?))
    }
}

#[test]
fn the_first_token_comes_from_the_database_and_others_by_commands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::in_folder(folder.path())?;
    let (code, out, told) = scene.pawl(&["migrate"], None)?;
    assert!((code, &*out) == (Some(0), "") && told.contains("pawl migrate --admin-token NAME"), "{told}");
    let (code, out, told) = scene.pawl(&["migrate", "--admin-token", "ada"], None)?;
    let ada = out.trim().to_owned();
    assert!(code == Some(0) && ada.starts_with("pawl_") && told.contains("token `ada` has the role `admin`"), "{told}");
    assert!(!told.contains(&ada), "it is on standard output alone");
    let (code, out, told) = scene.pawl(&["migrate", "--admin-token", "ada"], None)?;
    assert!((code, &*out) == (Some(1), "") && told.contains("there is a token `ada`"), "{told}");
    let (_, _, told) = scene.pawl(&["migrate"], None)?;
    assert!(!told.contains("--admin-token"), "{told}");

    let listen = scene.url.trim_start_matches("http://").to_owned();
    let mut command = scene.command(&["api", "--listen", &listen], None)?;
    command.env("PAWL_CACHE_DIR", folder.path().join("cache"));
    let mut api = Process::spawn("pawl api", command, &folder.path().join("api.log"))?;
    let client = Client::new(&scene.url)?;
    wait::until_true(bounds::PROCESS, "the API to answer", || Ok(client.get("/health").is_ok()))?;

    let (code, _, told) = scene.pawl(&["run", "list"], None)?;
    assert!(code == Some(3) && told.contains("wants a token") && told.contains("PAWL_API_TOKEN"), "{code:?} {told}");
    let words = ["token", "create", "ci", "--role", "deploy", "--expires", "30d"];
    let (code, out, told) = scene.pawl(&words, Some(&ada))?;
    let ci = out.trim().to_owned();
    assert!(code == Some(0) && ci.starts_with("pawl_") && told.contains("UTC; it is shown this once"), "{told}");
    let (code, _, told) = scene.pawl(&words, Some(&ci))?;
    assert!(code == Some(3) && told.contains("the role `admin`, and the token `ci` has `deploy`"), "{code:?} {told}");
    assert_eq!(scene.pawl(&["run", "list"], Some(&ci))?.0, Some(0));
    let (_, out, _) = scene.pawl(&["token", "list", "-o", "json"], Some(&ada))?;
    let list: Value = serde_json::from_str(&out)?;
    assert_eq!((&list["tokens"][1]["name"], &list["tokens"][1]["created_by"]), (&"ci".into(), &"ada".into()), "{out}");
    let (_, out, _) = scene.pawl(&["token", "list"], Some(&ada))?;
    assert!(out.contains("deploy") && !out.contains("pawl_"), "{out}");
    let (code, out, _) = scene.pawl(&["token", "revoke", "ci"], Some(&ada))?;
    assert!(code == Some(0) && out.contains("ci is revoked"), "{out}");
    wait::until_true(bounds::PROCESS, "the token to be refused", || {
        let (code, _, told) = scene.pawl(&["run", "list"], Some(&ci))?;
        Ok(code == Some(3) && told.contains("`ci` was revoked"))
    })?;
    let (code, _, told) = scene.pawl(&["token", "create", "x", "--role", "root"], Some(&ada))?;
    assert!(code == Some(2) && told.contains("read, submit, operate, deploy and admin"), "{told}");
    let (_, out, _) = scene.pawl(&["audit"], Some(&ada))?;
    for part in ["createToken", "revokeToken", "/v1/tokens/ci", "ci: deploy", "the database", "127.0.0.1"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let words = ["audit", "--all", "--who", "ada", "--what", "revokeToken", "--since", "1h", "-o", "json"];
    let (_, out, _) = scene.pawl(&words, Some(&ada))?;
    let lines: Vec<Value> = out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(lines.len() == 1 && lines[0]["target"] == "/v1/tokens/ci", "an object on each line: {out}");
    let (code, _, told) = scene.pawl(&["audit", "--what", "revokeTokn"], Some(&ada))?;
    assert!(code != Some(0) && told.contains("did you mean `revokeToken`?"), "{code:?} {told}");

    // Whoever has set it counts on it.
    for (token, says) in [("", "it is empty"), ("two words", "no blanks")] {
        let (code, _, told) = scene.pawl(&["run", "list"], Some(token))?;
        assert!(code == Some(2) && told.contains("api_token") && told.contains(says), "{code:?} {told}");
        assert!(told.contains("PAWL_API_TOKEN") && !told.contains("two words"), "{told}");
    }
    ensure!(api.terminate(bounds::PROCESS)?.success(), "it ends politely");
    Ok(())
}

#[test]
fn pawl_dev_has_a_token_that_its_own_commands_find_wherever_they_are() -> Result<()> {
    let target = Target::start()?;
    let pipeline = "name = \"echo\"\n[[step]]\nname = \"e\"\nplugin = \"echo\"\n";
    let pawl = Embedded::start("dev_token", &["echo"], pipeline)?;
    let file = pawl.folder().join("data/token");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&file)?;
    assert_eq!(pawl.client.token(), Some(&*token));

    let nobody = Client::new(pawl.client.url(""))?;
    for path in ["/v1/runs", "/metrics", "/v1/tokens"] {
        let problem = nobody.get(path)?.problem(401)?;
        assert!(!problem.detail.contains(&token), "{}", problem.detail);
        assert_eq!(pawl.client.get(path)?.status, 200);
    }
    assert_eq!(nobody.get("/health")?.status, 200);
    let answer =
        pawl_tests::runtime::block_on(pawl.client.send("GET", "/v1/runs", &[("host", "evil.example")], Vec::new()))?;
    answer.problem(421)?;
    let post = [("content-type", "application/json"), ("origin", "https://evil.example")];
    let answer = pawl_tests::runtime::block_on(pawl.client.send("POST", "/v1/runs", &post, b"{}".to_vec()))?;
    answer.problem(403)?;

    // It is told the address, and nothing else; it stands elsewhere than that `pawl dev`.
    let submitted = pawl.try_pawl(&["run", "submit", "echo", "--input", "1", "--wait"])?;
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let out = String::from_utf8(pawl.try_pawl(&["audit"])?.stdout)?;
    assert!(out.contains("pawl-dev") && out.contains("applyPipeline") && out.contains("pushPlugin"), "{out}");
    // Who could have read it is not believed to be its owner.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    let refused = pawl.try_pawl(&["run", "list"])?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && why.contains(".pawl/token"), "{why}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    assert!(pawl.try_pawl(&["run", "list"])?.status.success());
    pawl.finish_with(&[&target])
}

#[test]
fn what_pawl_dev_keeps_is_its_owners_alone_and_a_start_that_changes_nothing_leaves_no_line() -> Result<()> {
    let pipeline = "name = \"echo\"\n[[step]]\nname = \"e\"\nplugin = \"echo\"\n";
    let mut pawl = Embedded::start("dev_kept", &["echo"], pipeline)?;
    let said = |pawl: &Embedded, words: &[&str]| -> Result<String> {
        let told = pawl.try_pawl(words)?;
        ensure!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
        Ok(String::from_utf8(told.stdout)?)
    };
    let lines = said(&pawl, &["audit", "-o", "ids"])?;
    assert_eq!(lines.lines().count(), 2, "a plugin that was pushed, a pipeline that was applied: {lines}");
    let backup = pawl.folder().join("backup").display().to_string();
    let data = pawl.folder().join("data");
    said(&pawl, &["backup", &backup, "--data", &data.display().to_string()])?;
    let rights = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!((rights(&data)?, rights(Path::new(&backup))?), (0o700, 0o600));
    let mut kept = 0;
    for entry in std::fs::read_dir(&data)? {
        let path = entry?.path();
        if path.is_file() {
            assert_eq!(rights(&path)?, 0o600, "{}", path.display());
            kept += 1;
        }
    }
    assert!(kept >= 5, "the database, its log, the lock, the token, and where it listens: {kept}");

    ensure!(pawl.process()?.terminate(bounds::PROCESS)?.success(), "it ends politely");
    pawl.start_process(&[])?;
    assert_eq!(said(&pawl, &["audit", "-o", "ids"])?, lines, "nothing has changed");
    let file = pawl.folder().join("pipelines/pipeline.toml").display().to_string();
    said(&pawl, &["pipeline", "apply", &file])?;
    said(&pawl, &["dead-letter", "retry", "--all", "--dry-run"])?;
    assert_eq!(said(&pawl, &["audit", "-o", "ids"])?, lines, "nor has it since");
    pawl.put_pipeline(&pipeline.replace("name = \"e\"", "name = \"f\""))?;
    wait::until_true(bounds::RUN, "the pipeline to be applied", || {
        Ok(said(&pawl, &["audit", "-o", "ids"])?.lines().count() == 3)
    })?;
    pawl.finish_with(&[])
}

#[test]
fn a_workers_figures_are_for_those_who_may_read_and_for_no_page_of_others() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::in_folder(folder.path())?;
    let (_, ada, _) = scene.pawl(&["migrate", "--admin-token", "ada"], None)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = scene.command(&["worker", "--metrics-listen", &address], None)?;
    command.env("PAWL_CACHE_DIR", folder.path().join("cache")).env("PAWL_ALLOWED_HOSTS", "worker-1");
    let mut worker = Process::spawn("pawl worker", command, &folder.path().join("worker.log"))?;
    let nobody = Client::new(format!("http://{address}"))?;
    let ada = nobody.with(ada.trim())?;
    wait::until_true(bounds::PROCESS, "the worker to have its lease", || {
        Ok(nobody.get("/ready").is_ok_and(|answer| answer.status == 200))
    })?;
    nobody.get("/metrics")?.problem(401).context("without a token")?;
    nobody.with("guess")?.get("/metrics")?.problem(401).context("with a wrong one")?;
    assert_eq!(ada.get("/metrics")?.status, 200);
    let from =
        |headers: &[(&str, &str)]| pawl_tests::runtime::block_on(ada.send("GET", "/metrics", headers, Vec::new()));
    from(&[("host", "evil.example")])?.problem(421)?;
    from(&[("origin", "https://evil.example")])?.problem(403)?;
    assert_eq!(from(&[("host", "worker-1:7341")])?.status, 200);
    ensure!(worker.terminate(bounds::PROCESS)?.success(), "it ends politely");
    Ok(())
}

//! What stands before the gateways: the haproxy of the local stack, and beside it what a Service of Kubernetes is, connections
//! that go to one endpoint for as long as they last.

use std::{
    fs::File,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream as AsyncStream,
};
use understudy_tests::{Http, Process, Stage, eventually, free_address, repository};

use crate::Fault;

/// A running haproxy.
pub struct Balancer {
    child: Child,
    http: String,
    service: String,
    admin: String,
}

/// The backends, and what each is told of a gateway beside its address: the stack's checks (which `add server` does not take
/// from `default-server`), or nothing but whether it is an endpoint.
const CHECKED: &str = "gateways";
const ENDPOINTS: &str = "endpoints";
const CHECKS: &str = "check inter 500ms fall 2 rise 1 observe layer4";

impl Balancer {
    /// Starts it without a gateway.
    pub async fn start(stage: &Stage) -> Self {
        let [http, service, admin] = std::array::from_fn(|_| free_address());
        let [stack, own] = ["lb.cfg", "service.cfg"].map(|name| stage.folder().join(name));
        let script = "source deploy/local/parts/lb.sh && lb_config \"$1\"";
        let made = Command::new("bash").args(["-c", script, "-", &http]).current_dir(repository()).output();
        let made = made.expect("bash");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut config = String::from_utf8(made.stdout).expect("a text");
        assert!(config.contains(CHECKS), "the stack's checks are others by now");
        if Fault::planted() == Some(Fault::NoChecks) {
            config = config.replace("retries 3", "retries 0").replace("option redispatch 1", "no option redispatch");
        }
        std::fs::write(&stack, config).expect("the stage's folder can be written");
        // Nobody tries another endpoint for a connection that is refused.
        std::fs::write(
            &own,
            format!(
                "global\n    stats socket ipv4@{admin} level admin\nfrontend service\n    mode tcp\n    bind {service}\n    \
                 default_backend {ENDPOINTS}\nbackend {ENDPOINTS}\n    mode tcp\n    balance roundrobin\n    retries 0\n    no option redispatch\n"
            ),
        )
        .expect("the stage's folder can be written");
        let log = File::create(stage.folder().join("lb.log")).expect("the stage's folder can be written");
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("haproxy")
            .env("PATH", path)
            .arg("-db")
            .args(["-f".as_ref(), stack.as_os_str(), "-f".as_ref(), own.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("haproxy");
        let balancer = Self { child, http: format!("http://{http}"), service: format!("http://{service}"), admin };
        let listens = async || [&http, &service, &balancer.admin].iter().all(|at| TcpStream::connect(at).is_ok());
        eventually(Duration::from_secs(10), "haproxy listens", listens).await;
        balancer
    }

    /// A client of the load balancer: each request goes to a gateway that its checks call ready.
    pub fn http(&self) -> Http {
        Http::new(&self.http)
    }

    /// Where the Service listens: each connection goes to one of its endpoints.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where the load balancer listens.
    pub fn address(&self) -> &str {
        &self.http
    }

    /// A pod became ready: it is an endpoint of both.
    pub async fn add(&self, gateway: &Process) {
        let (name, address) = (gateway.name(), gateway.address().trim_start_matches("http://"));
        let admin = gateway.admin();
        let port = admin.base().rsplit_once(':').expect("a port").1;
        for (backend, options) in [(CHECKED, format!("port {port} {CHECKS}")), (ENDPOINTS, String::new())] {
            let answer = self.ask(&format!("add server {backend}/{name} {address} {options}")).await;
            assert!(answer.contains("registered"), "haproxy: {answer}");
            let answer = self.ask(&format!("enable health {backend}/{name}; enable server {backend}/{name}")).await;
            // A server without checks has no health that could be enabled.
            assert!(backend == ENDPOINTS || answer.trim().is_empty(), "haproxy: {answer}");
        }
    }

    /// The Service forgets a pod: it gets no more connections, and those that it has stay. The load balancer is not told.
    pub async fn forget(&self, gateway: &Process) {
        let answer = self.ask(&format!("set server {ENDPOINTS}/{} state maint", gateway.name())).await;
        assert!(answer.trim().is_empty(), "haproxy: {answer}");
    }

    /// A pod is gone, and the load balancer need not look for it any more.
    pub async fn remove(&self, gateway: &Process) {
        let answer = self.ask(&format!("set server {CHECKED}/{} state maint", gateway.name())).await;
        assert!(answer.trim().is_empty(), "haproxy: {answer}");
    }

    /// A planted fault: a gateway counts as ready whatever its checks say.
    pub async fn without_checks(&self, gateway: &Process) {
        self.ask(&format!("disable health {CHECKED}/{0}; set server {CHECKED}/{0} health up", gateway.name())).await;
    }

    /// How many gateways the checks call ready.
    pub async fn ready(&self) -> usize {
        let state = self.ask(&format!("show servers state {CHECKED}")).await;
        // Behind name and address: 2 is running; then 0 is nobody's wish that it were not.
        let fields = state.lines().map(|line| line.split_whitespace().skip(5).take(2).collect::<Vec<_>>());
        fields.filter(|fields| fields == &["2", "0"]).count()
    }

    async fn ask(&self, question: &str) -> String {
        let exchange = async {
            let mut stream = AsyncStream::connect(&self.admin).await?;
            stream.write_all(format!("{question}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        exchange.await.unwrap_or_else(|error| panic!("haproxy: {question}: {error}"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! nginx in front of a server, as a measure: what a proxy needs that does nothing but pass on.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use understudy_tests::{Http, eventually, free_address};

use crate::cpu;

/// A running nginx. It ends when it goes out of scope.
pub struct Nginx {
    child: Child,
    address: String,
}

impl Nginx {
    /// Starts it, with one worker, in front of `http://host:port`.
    pub async fn before(address: &str, folder: &Path) -> Self {
        let listen = free_address();
        let upstream = address.trim_start_matches("http://");
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder).expect("a folder");
        let at = folder.display();
        // Bodies stay in memory on both ways, connections stay open: as good as it gets.
        let config = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_max_body_size 0; client_body_buffer_size 32m; keepalive_requests 1000000;\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; proxy_buffers 64 64k; proxy_busy_buffers_size 128k;\n\
             upstream cluster {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n\
             server {{ listen {listen}; location / {{ proxy_pass http://cluster; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; }} }} }}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).expect("a file");
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let address = format!("http://{listen}");
        let http = Http::new(&address);
        let up = async || http.request("GET", "/").send().await.map(|_| ());
        eventually(Duration::from_secs(10), "nginx is up", up).await;
        Self { child, address }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        pids.extend(cpu::children(self.child.id()));
        pids
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, the first process would leave its worker behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

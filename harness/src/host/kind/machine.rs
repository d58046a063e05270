//! What the engine's machine adds to every node: proxies and storage quirks.

use bollard::models::SystemInfo;

use super::{super::Error, container::Machine, maker::Maker, network, options::KindOptions};
use crate::engine::Engine;
use crate::settings::{Environment, ProcessEnvironment};

/// Asks the engine.
pub(super) async fn inspect(engine: &Engine, options: &KindOptions) -> Result<Machine, Error> {
    let info = engine
        .docker()
        .info()
        .await
        .map_err(Error::engine("describe", "itself"))?;
    let mut machine = from_info(&info);
    let timeout =
        jiff::SignedDuration::try_from(options.timeout).unwrap_or(jiff::SignedDuration::MAX);
    let until = jiff::Timestamp::now()
        .saturating_add(timeout)
        .unwrap_or(jiff::Timestamp::MAX);
    machine.maker = Maker::here(options.lock.clone(), until).to_label();
    let mut direct: Vec<String> = subnets(engine).await;
    direct.extend([options.service_subnet.clone(), options.pod_subnet.clone()]);
    direct.extend(options.node_names());
    machine.environment = proxy_environment(&ProcessEnvironment, &direct);
    Ok(machine)
}

fn from_info(info: &SystemInfo) -> Machine {
    let has_option = |name: &str| {
        let options = info.security_options.iter().flatten();
        options
            .flat_map(|option| option.split(','))
            .any(|part| part == format!("name={name}"))
    };
    Machine {
        maker: String::new(),
        environment: Vec::new(),
        remaps_users: has_option("userns"),
        needs_device_mapper: matches!(info.driver.as_deref(), Some("btrfs" | "zfs")),
        is_rootless: has_option("rootless"),
    }
}

async fn subnets(engine: &Engine) -> Vec<String> {
    let network = engine.docker().inspect_network(network::NAME, None).await;
    network
        .ok()
        .and_then(|network| network.ipam?.config)
        .into_iter()
        .flatten()
        .filter_map(|config| config.subnet)
        .collect()
}

/// The machine's proxies, so that nodes can pull; what is in the cluster goes direct.
fn proxy_environment(environment: &impl Environment, direct: &[String]) -> Vec<String> {
    let either = |name: &str| {
        environment
            .get(name)
            .or_else(|| environment.get(&name.to_lowercase()))
    };
    let mut variables = Vec::new();
    let mut set = |name: &str, value: &str| {
        variables.push(format!("{name}={value}"));
        variables.push(format!("{}={value}", name.to_lowercase()));
    };
    for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
        if let Some(value) = either(name) {
            set(name, &value);
        }
    }
    if !variables.is_empty() {
        let mut all: Vec<String> = either("NO_PROXY").into_iter().collect();
        all.extend_from_slice(direct);
        all.extend([".svc", ".svc.cluster", ".svc.cluster.local"].map(str::to_owned));
        let value = all.join(",");
        variables.push(format!("NO_PROXY={value}"));
        variables.push(format!("no_proxy={value}"));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_no_variable() {
        assert!(proxy_environment(&[("NO_PROXY", "x")], &[]).is_empty());
    }

    #[test]
    fn a_proxy_is_passed_on_and_the_cluster_is_direct() {
        let environment = [("https_proxy", "http://p:3128"), ("NO_PROXY", "corp")];
        let variables = proxy_environment(&environment, &["10.96.0.0/12".to_owned()]);
        assert_eq!(variables[0], "HTTPS_PROXY=http://p:3128");
        let direct = "NO_PROXY=corp,10.96.0.0/12,.svc,.svc.cluster,.svc.cluster.local";
        assert!(variables.contains(&direct.to_owned()), "{variables:?}");
    }

    #[test]
    fn the_engine_says_what_it_is() {
        let info = SystemInfo {
            driver: Some("btrfs".to_owned()),
            security_options: Some(vec![
                "name=seccomp,profile=builtin".to_owned(),
                "name=rootless".to_owned(),
            ]),
            ..SystemInfo::default()
        };
        let machine = from_info(&info);
        assert!(machine.is_rootless && machine.needs_device_mapper && !machine.remaps_users);
    }
}

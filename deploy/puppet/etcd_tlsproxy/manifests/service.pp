# @summary Keeps etcd-tlsproxy running, and reloads or restarts it after changes.
#
# @api private
class etcd_tlsproxy::service {
  $dir = $etcd_tlsproxy::config_dir

  $triggers = $etcd_tlsproxy::user_groups.empty ? {
    true    => [File["${dir}/restart-triggers"]],
    default => [File["${dir}/restart-triggers"], User['etcd-tlsproxy']],
  }

  if $etcd_tlsproxy::manage_service {
    service { 'etcd-tlsproxy':
      ensure    => running,
      enable    => true,
      subscribe => $triggers,
      before    => Exec['etcd-tlsproxy reload'],
    }
  }

  # The service reloads changed files within two seconds anyway. This makes the run wait until
  # it has done so.
  exec { 'etcd-tlsproxy reload':
    command     => $etcd_tlsproxy::reload_command,
    refreshonly => true,
    subscribe   => File["${dir}/htpasswd", "${dir}/etcd-tlsproxy.toml"],
  }
}

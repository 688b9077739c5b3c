# @summary Keeps etcd-tlsproxy running, and reloads or restarts it after changes.
#
# @api private
class etcd_tlsproxy::service {
  $dir = $etcd_tlsproxy::config_dir

  $triggers = $etcd_tlsproxy::user_groups.empty ? {
    true    => [File["${dir}/restart-triggers"]],
    default => [File["${dir}/restart-triggers"], User['etcd-tlsproxy']],
  }

  $sockets = ['etcd-tlsproxy.socket', 'etcd-tlsproxy-admin.socket']
  unless $etcd_tlsproxy::sockets =~ Undef {
    $held = $etcd_tlsproxy::sockets ? {
      true    => ['/bin/systemctl is-active --quiet etcd-tlsproxy.socket', running],
      default => ['/bin/sh -c "! /bin/systemctl is-active --quiet etcd-tlsproxy.socket"', stopped],
    }
    # A port that the service holds itself cannot be given to a socket, and the reverse.
    exec { 'etcd-tlsproxy changes the owner of its ports':
      command => '/bin/systemctl stop etcd-tlsproxy.service',
      unless  => $held[0],
      before  => Service[$sockets],
    }
    service { $sockets:
      ensure => $held[1],
      enable => $etcd_tlsproxy::sockets,
    }
    if $etcd_tlsproxy::manage_service {
      Service[$sockets] -> Service['etcd-tlsproxy']
    }
  }

  unless $etcd_tlsproxy::backup =~ Undef {
    $timer = $etcd_tlsproxy::backup ? {
      true    => running,
      default => stopped,
    }
    service { 'etcd-tlsproxy-backup.timer':
      ensure => $timer,
      enable => $etcd_tlsproxy::backup,
    }
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

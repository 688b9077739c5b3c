# @summary Writes the files of etcd-tlsproxy. The file of users is written before the table
#   of rules, because the table is checked against the users.
#
# @api private
class etcd_tlsproxy::config {
  $htpasswd = "${etcd_tlsproxy::config_dir}/htpasswd"
  $file = "${etcd_tlsproxy::config_dir}/etcd-tlsproxy.toml"

  $acls = $etcd_tlsproxy::acls.keys.sort.reduce({}) |$sorted, $prefix| { $sorted + { $prefix => $etcd_tlsproxy::acls[$prefix] } }
  $endpoints = 'srv' in $etcd_tlsproxy::upstream ? {
    true    => {},
    default => { 'endpoints' => $etcd_tlsproxy::upstream_endpoints },
  }
  $top = {
    'listen'    => $etcd_tlsproxy::listen,
    'admin'     => $etcd_tlsproxy::admin,
    'read_only' => $etcd_tlsproxy::read_only,
    'match'     => $etcd_tlsproxy::match,
  }

  # The limits that a reload applies. All others need a restart.
  $live_limits = ['body_bytes', 'body_timeout', 'target_bytes', 'upstream_requests', 'upstream_timeout']
  $at_restart = {
    'listen' => $etcd_tlsproxy::listen,
    'admin'  => $etcd_tlsproxy::admin,
  }
  $limits_at_restart = $etcd_tlsproxy::limits.filter |$name, $_| { !($name in $live_limits) }

  unless $etcd_tlsproxy::user_groups.empty {
    user { 'etcd-tlsproxy':
      groups     => $etcd_tlsproxy::user_groups,
      membership => minimum,
    }
  }

  file { $etcd_tlsproxy::config_dir:
    ensure => directory,
    owner  => $etcd_tlsproxy::owner,
    group  => $etcd_tlsproxy::group,
    mode   => '0750',
  }

  # Hashes must not get into a diff or a backup.
  file { $htpasswd:
    ensure    => file,
    owner     => $etcd_tlsproxy::owner,
    group     => $etcd_tlsproxy::group,
    mode      => '0640',
    content   => Sensitive(epp('etcd_tlsproxy/htpasswd.epp', { 'users' => $etcd_tlsproxy::users.unwrap })),
    show_diff => false,
    backup    => false,
  }

  # Puppet's temporary file can be read by its owner alone, so the check gets a copy.
  $check = $etcd_tlsproxy::validate_user ? {
    ''      => "${etcd_tlsproxy::binary} check-config --config %",
    default => [
      'dir=$(/usr/bin/mktemp -d) && trap \'rm -rf "$dir"\' EXIT',
      "/bin/chgrp ${etcd_tlsproxy::group} \"\$dir\" && /bin/chmod 0750 \"\$dir\"",
      "/usr/bin/install -m 0640 -g ${etcd_tlsproxy::group} % \"\$dir/etcd-tlsproxy.toml\"",
      "/sbin/runuser -u ${etcd_tlsproxy::validate_user} -- ${etcd_tlsproxy::binary} check-config --config \"\$dir/etcd-tlsproxy.toml\"",
    ].join(' && '),
  }
  $readers = $etcd_tlsproxy::user_groups.empty ? {
    true    => [],
    default => [User['etcd-tlsproxy']],
  }

  file { $file:
    ensure       => file,
    owner        => $etcd_tlsproxy::owner,
    group        => $etcd_tlsproxy::group,
    mode         => '0640',
    content      => epp('etcd_tlsproxy/etcd-tlsproxy.toml.epp', {
        'comment' => 'Managed by Puppet. Changes to this file are lost at the next run.',
        'top'     => $top,
        'tables'  => {
          'upstream' => $endpoints + $etcd_tlsproxy::upstream,
          'tls'      => { 'certificate' => $etcd_tlsproxy::certificate, 'key' => $etcd_tlsproxy::key } + $etcd_tlsproxy::tls,
          'auth'     => { 'htpasswd' => [$htpasswd] },
          'acls'     => $acls,
          'surfaces' => $etcd_tlsproxy::surfaces,
          'limits'   => $etcd_tlsproxy::limits,
          'log'      => $etcd_tlsproxy::log,
        },
    }),
    validate_cmd => $check,
    require      => [File[$htpasswd]] + $readers,
  }

  # The service does not read this file. A change of it notifies the service resource, which
  # restarts the service. Its comment is part of the content: changing it restarts services.
  file { "${etcd_tlsproxy::config_dir}/restart-triggers":
    ensure  => file,
    owner   => $etcd_tlsproxy::owner,
    group   => $etcd_tlsproxy::group,
    mode    => '0640',
    content => epp('etcd_tlsproxy/etcd-tlsproxy.toml.epp', {
        'comment' => 'Written by Puppet for itself: when this changes, it restarts the service.',
        'top'     => $at_restart,
        'tables'  => { 'limits' => $limits_at_restart, 'log' => $etcd_tlsproxy::log },
    }),
    require => File[$file],
  }
}

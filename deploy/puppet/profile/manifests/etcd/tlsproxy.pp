# @summary Replaces an nginx site of the same name, which terminated TLS for etcd, by
#   etcd-tlsproxy, with the same hiera data, users, passwords and port.
#
# Passwords are Sensitive because the parameters of a class are stored with the catalog.
# Plain text from hiera is wrapped here.
#
# @param cert_name
#   The name of the certificate.
# @param acls
#   The users who may write below each prefix, or everyone if the list is empty.
# @param salt
#   The salt of all password hashes.
# @param read_only
#   Refuses all writes.
# @param listen_port
#   The port for clients.
# @param upstream_port
#   The port of etcd.
# @param tls_upstream
#   Whether etcd listens with TLS on the name of this host. Otherwise the proxy connects to
#   it without TLS on loopback.
# @param pool_pwd_seed
#   The seed from which the passwords of users pool-... are derived.
# @param accounts
#   The passwords of the other users. If it is empty, they come from the class
#   passwords::etcd.
# @param hashes
#   The password hashes of users for whom no password is given, for example of bcrypt.
# @param pools
#   The pools that get a rule each. The default is the pools of all services in production if
#   the module wmflib is installed, otherwise none.
# @param ssl_dir
#   The folder of localcerts/NAME.chained.crt and private/NAME.key.
# @param user_groups
#   The groups that may read the key. The user of the service joins them.
# @param match
#   "both" also refuses what nginx refused. Use "segment" when the migration is over.
# @param upstream
#   Further keys of the table [upstream], such as ca or insecure_skip_verify.
class profile::etcd::tlsproxy (
  Pattern[/\A[A-Za-z0-9][A-Za-z0-9._-]*\z/] $cert_name,
  Etcd_tlsproxy::Acls $acls,
  Etcd_tlsproxy::Salt $salt,
  Boolean $read_only = false,
  Integer[1, 65535] $listen_port = 4001,
  Integer[1, 65535] $upstream_port = 2379,
  Boolean $tls_upstream = false,
  Sensitive[String] $pool_pwd_seed = Sensitive(lookup('etcd::autogen_pwd_seed', { 'default_value' => '' })),
  Sensitive[Hash[String, String]] $accounts = Sensitive(lookup('profile::etcd::htpasswd', { 'default_value' => {} })),
  Sensitive[Hash[String, Etcd_tlsproxy::Hash]] $hashes = Sensitive(lookup('profile::etcd::htpasswd_hashes', { 'default_value' => {} })),
  Optional[Etcd_tlsproxy::Pools] $pools = undef,
  Pattern[/\A\//] $ssl_dir = '/etc/ssl',
  Array[String[1]] $user_groups = ['ssl-cert'],
  Enum['segment', 'both'] $match = 'both',
  Etcd_tlsproxy::Table $upstream = {},
) {
  $wanted = $pools ? {
    undef   => module_directory('wmflib') ? {
      undef   => {},
      default => etcd_tlsproxy::pools(call('wmflib::service::fetch')),
    },
    default => $pools,
  }
  $pool_acls = $wanted.reduce({}) |$rules, $entry| {
    [$dc, $clusters] = $entry
    $clusters.reduce($rules) |$more, $cluster| {
      $more + { "/conftool/v1/pools/${dc}/${cluster}" => ['root', 'conftool', "pool-${dc}-${cluster}"] }
    }
  }
  $all = $acls + $pool_acls

  if $accounts.unwrap.empty and defined('passwords::etcd') {
    include passwords::etcd
    $given = $passwords::etcd::accounts
  } else {
    $given = $accounts
  }
  $passwords = $given ? { Sensitive => $given.unwrap, default => $given }

  $twice = ($hashes.unwrap.keys.filter |$name| { $name in $passwords }).join(', ')
  unless $twice.empty {
    fail("profile::etcd::tlsproxy: ${twice}: both a password and a hash are given; remove one of them")
  }

  $names = ($all.values.map |$rule| { $rule ? { Hash => $rule.values, default => $rule } }).flatten.unique
  $users = $names.reduce({}) |$so_far, $name| {
    if $name in $hashes.unwrap {
      $hash = $hashes.unwrap[$name]
    } elsif $name =~ /\Apool-(.+)\z/ {
      if $pool_pwd_seed.unwrap.empty {
        fail("profile::etcd::tlsproxy: ${name} needs a password: etcd::autogen_pwd_seed is missing in the private hieradata")
      }
      $hash = etcd_tlsproxy::apr1(etcd_tlsproxy::pool_password($1, $pool_pwd_seed), $salt).unwrap
    } elsif $passwords[$name] =~ String[1] {
      $hash = etcd_tlsproxy::apr1(Sensitive($passwords[$name]), $salt).unwrap
    } else {
      fail("profile::etcd::tlsproxy: ${name} needs a password: add it to profile::etcd::htpasswd, or a hash to ...::htpasswd_hashes")
    }
    $so_far + { $name => $hash }
  }

  $endpoint = $tls_upstream ? {
    true    => "https://${facts['networking']['fqdn']}:${upstream_port}",
    default => "http://127.0.0.1:${upstream_port}",
  }

  if defined('sslcert::certificate') {
    sslcert::certificate { $cert_name:
      before => Class['etcd_tlsproxy::config'],
    }
  }

  class { 'etcd_tlsproxy':
    acls               => $all,
    users              => Sensitive($users),
    certificate        => "${ssl_dir}/localcerts/${cert_name}.chained.crt",
    key                => "${ssl_dir}/private/${cert_name}.key",
    listen             => ":${listen_port}",
    user_groups        => $user_groups,
    read_only          => $read_only,
    match              => $match,
    upstream_endpoints => [$endpoint],
    upstream           => $upstream,
  }
}

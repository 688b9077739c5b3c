# @summary Installs and configures etcd-tlsproxy, an HTTPS front end for etcd's v2 API.
#
# A change of users, rules or most settings is a reload, which no client notices; only
# what a running service cannot take over restarts it.
#
# @param acls
#   The table of rules: for each prefix the users who may write, everyone if the list is
#   empty; or { write => [...], read => [...] }.
# @param certificate
#   PEM file with the chain of this server, its own certificate first.
# @param key
#   PEM file of its private key. The service's user must be able to read it.
# @param users
#   For each user who logs in with a password its hash: apr1, bcrypt, SHA, SSHA,
#   sha256-crypt or sha512-crypt.
# @param listen
#   The HTTPS address.
# @param admin
#   The address of metrics, health and reload: it belongs on loopback.
# @param read_only
#   Refuses all writes.
# @param match
#   "both" allows only what both whole segments and byte-wise prefixes allow.
# @param upstream_endpoints
#   etcd's client URLs, the preferred one first. Not used if upstream names srv.
# @param upstream
#   More of the table [upstream]: srv, ca, server_name and so on.
# @param tls
#   More of the table [tls]: client_ca, client_auth, client_name.
# @param surfaces
#   Users who may use what is closed to all others.
# @param limits
#   The table [limits].
# @param log
#   The table [log].
# @param config_dir
#   The folder of the files that are written.
# @param binary
#   The program, which checks the configuration before it is put in place.
# @param owner
#   Who owns the files.
# @param group
#   The group of the service, which may read them.
# @param user_groups
#   Groups that the service's user joins, so that it may read the key.
# @param manage_package
#   Whether the Debian package is installed.
# @param manage_service
#   Whether the service is started and kept running.
# @param reload_command
#   What makes the running service read its files at once. It also looks at them by itself.
class etcd_tlsproxy (
  Etcd_tlsproxy::Acls $acls,
  Pattern[/\A\//] $certificate,
  Pattern[/\A\//] $key,
  Sensitive[Hash[Etcd_tlsproxy::User, Pattern[/\A[^:\s]+\z/]]] $users = Sensitive({}),
  String[1] $listen = ':4001',
  String[1] $admin = '127.0.0.1:4002',
  Boolean $read_only = false,
  Enum['segment', 'both'] $match = 'segment',
  Array[String[1], 1] $upstream_endpoints = ['http://127.0.0.1:2379'],
  Etcd_tlsproxy::Table $upstream = {},
  Etcd_tlsproxy::Table $tls = {},
  Hash[Enum['members', 'auth', 'config', 'debug', 'v3'], Array[Etcd_tlsproxy::User, 1]] $surfaces = {},
  Etcd_tlsproxy::Table $limits = {},
  Etcd_tlsproxy::Table $log = {},
  Pattern[/\A\//] $config_dir = '/etc/etcd-tlsproxy',
  Pattern[/\A\//] $binary = '/usr/bin/etcd-tlsproxy',
  String[1] $owner = 'root',
  String[1] $group = 'etcd-tlsproxy',
  Array[String[1]] $user_groups = [],
  Boolean $manage_package = true,
  Boolean $manage_service = true,
  String[1] $reload_command = '/usr/bin/systemctl reload etcd-tlsproxy.service',
) {
  # The proxy would refuse such a table, but only when the file of users is written
  # already: this is found before anything is.
  $known = $users.unwrap.keys
  unless 'client_ca' in $tls {
    $named = $acls.values.map |$rule| { $rule ? { Hash => $rule.values, default => $rule } } + $surfaces.values
    $unknown = ($named.flatten - $known).unique
    unless $unknown.empty {
      fail("etcd_tlsproxy: rules name users without a password: ${unknown.sort.join(', ')}")
    }
  }

  contain etcd_tlsproxy::config
  contain etcd_tlsproxy::service

  if $manage_package {
    package { 'etcd-tlsproxy':
      ensure => installed,
      before => Class['etcd_tlsproxy::config'],
    }
  }
  Class['etcd_tlsproxy::config'] -> Class['etcd_tlsproxy::service']
}

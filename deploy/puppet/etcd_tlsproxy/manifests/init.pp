# @summary Installs and configures etcd-tlsproxy, an HTTPS front end for etcd's v2 API.
#
# A change of users, rules or most settings causes a reload, which clients do not notice.
# Only settings that a reload cannot apply cause a restart.
#
# @param acls
#   The table of rules: for each prefix the users who may write, or everyone if the list is
#   empty. The long form is { write => [...], read => [...] }.
# @param certificate
#   PEM file with the certificate chain of this server, in any order.
# @param key
#   PEM file of the private key. The user of the service must be able to read it.
# @param users
#   The password hash of each user: apr1, bcrypt, SHA, SSHA, sha256-crypt or sha512-crypt.
# @param listen
#   The HTTPS address.
# @param admin
#   The address of metrics, health and reload. It should be on loopback.
# @param read_only
#   Refuses all writes.
# @param match
#   "segment" matches prefixes by whole segments. "both" allows an access only if matching by
#   segments and matching byte by byte both allow it.
# @param upstream_endpoints
#   The client URLs of etcd, in order of preference. Not used if upstream contains srv.
# @param upstream
#   Further keys of the table [upstream], such as srv, ca or server_name.
# @param tls
#   Further keys of the table [tls]: client_ca, client_crl, client_auth, client_name.
# @param surfaces
#   The users who may use each surface of the API that is closed to all others.
# @param limits
#   The table [limits].
# @param log
#   The table [log].
# @param config_dir
#   The folder that the files are written to.
# @param binary
#   The program, which checks the configuration before it is put in place.
# @param owner
#   The owner of the files.
# @param group
#   The group of the service, which may read the files.
# @param user_groups
#   Groups that the user of the service joins in order to read the key.
# @param manage_package
#   Whether the Debian package is installed.
# @param manage_service
#   Whether Puppet enables the service and keeps it running.
# @param validate_user
#   The user as whom the configuration is checked before it is put in place, so that files
#   which the service cannot read are found. '' is the user of Puppet.
# @param sockets
#   Whether systemd holds the ports, so that no restart refuses a connection. Their ports are
#   those of the units. Without a value Puppet leaves the units alone.
# @param backup
#   Whether the member is backed up every night. Without a value Puppet leaves the timer alone.
# @param scrape_file
#   A file for the file-based discovery of Prometheus, which gets the admin address.
# @param scrape_host
#   The host in that file.
# @param nrpe_file
#   A file for NRPE, which gets the checks of this machine.
# @param reload_command
#   The command that makes the service reload its files at once. Without it the service
#   reloads changed files within two seconds.
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
  String $validate_user = 'etcd-tlsproxy',
  Optional[Boolean] $sockets = undef,
  Optional[Boolean] $backup = undef,
  Optional[Pattern[/\A\//]] $scrape_file = undef,
  String[1] $scrape_host = $facts['networking']['fqdn'],
  Optional[Pattern[/\A\//]] $nrpe_file = undef,
  String[1] $reload_command = '/usr/bin/systemctl reload etcd-tlsproxy.service',
) {
  # The proxy would refuse such a table as well, but only after the file of users was
  # written. This check fails before any file is written.
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
  contain etcd_tlsproxy::monitoring

  if $manage_package {
    package { 'etcd-tlsproxy':
      ensure => installed,
      before => Class['etcd_tlsproxy::config'],
    }
  }
  Class['etcd_tlsproxy::config'] -> Class['etcd_tlsproxy::service']
}

# Returns the pools of all services that are in production and whose load balancing
# conftool manages.
#
# @param services
#   The catalog of services: the state of each, its sites, and its cluster in conftool.
# @return
#   The clusters of each data center.
function etcd_tlsproxy::pools(Hash[String, Hash] $services) >> Etcd_tlsproxy::Pools {
  $live = $services.values.filter |$service| { $service['state'] == 'production' }
  $live.reduce({}) |$pools, $service| {
    $cluster = $service.dig('lvs', 'conftool', 'cluster')
    $sites = $cluster ? { undef => [], default => $service['sites'] }
    $sites.reduce($pools) |$more, $dc| {
      $more + { $dc => ([$more[$dc], $cluster].flatten.filter |$one| { $one =~ NotUndef }).unique }
    }
  }
}

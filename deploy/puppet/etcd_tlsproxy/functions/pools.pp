# The pools of all services that are in production and balanced by what conftool says.
#
# @param services
#   The catalogue of services: for each the state, the sites, and the cluster that
#   conftool knows it by.
# @return
#   For each data centre its clusters.
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

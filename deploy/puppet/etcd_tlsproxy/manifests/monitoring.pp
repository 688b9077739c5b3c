# @summary Writes the files that let Prometheus and NRPE find this proxy.
#
# @api private
class etcd_tlsproxy::monitoring {
  $port = $etcd_tlsproxy::admin.regsubst('\A.*:', '')
  $host = $etcd_tlsproxy::admin.regsubst(':[^:]*\z', '')
  $local = $host ? {
    /\A(0\.0\.0\.0|\[::\])?\z/ => '127.0.0.1',
    default                    => $host,
  }
  $https = $etcd_tlsproxy::listen.regsubst('\A.*:', '')

  if $etcd_tlsproxy::scrape_file {
    file { $etcd_tlsproxy::scrape_file:
      ensure  => file,
      mode    => '0644',
      content => "# Managed by Puppet.\n- targets: [\"${etcd_tlsproxy::scrape_host}:${port}\"]\n  labels: {job: etcd-tlsproxy}\n",
    }
  }
  if $etcd_tlsproxy::nrpe_file {
    file { $etcd_tlsproxy::nrpe_file:
      ensure  => file,
      mode    => '0644',
      content => @("END"),
        # Managed by Puppet.
        command[check_etcd_tlsproxy_ready]=/usr/lib/nagios/plugins/check_http -I ${local} -p ${port} -u /-/ready -e 200 -s ready -t 5
        command[check_etcd_cluster]=${etcd_tlsproxy::binary} cluster-health --nagios --endpoints https://localhost:${https} --margin-warning 1
        | END
    }
  }
}

# frozen_string_literal: true

describe 'etcd_tlsproxy::pools' do
  def service(state, cluster, *sites)
    { 'state' => state, 'sites' => sites, 'lvs' => { 'conftool' => { 'cluster' => cluster } } }
  end

  it 'returns each cluster of a service in production once' do
    services = {
      'one' => service('production', 'web', 'eqiad', 'codfw'), 'two' => service('production', 'web', 'eqiad'),
      'three' => service('production', 'search', 'eqiad'), 'four' => service('lvs_setup', 'draft', 'eqiad'),
      'five' => { 'state' => 'production', 'sites' => ['eqiad'] }
    }
    is_expected.to run.with_params(services).and_return('eqiad' => %w[web search], 'codfw' => ['web'])
  end
end

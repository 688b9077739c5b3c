# frozen_string_literal: true

# In the tree of a site, the profile belongs to another module. Its tests are with the module
# that it uses.
describe 'profile::etcd::tlsproxy' do
  let(:file) { '/etc/etcd-tlsproxy/etcd-tlsproxy.toml' }
  let(:more) { {} }
  let(:params) do
    {
      'cert_name' => 'etcd.example.org', 'salt' => 'saltsalt',
      'acls' => { '/' => ['root'], '/conftool' => %w[root conftool], '/eventlogging' => [] },
      'accounts' => sensitive('root' => 'root-1', 'conftool' => 'conftool-1', 'unused' => 'unused-1')
    }.merge(more)
  end

  it { is_expected.to compile.with_all_deps }
  it 'hashes the passwords of users whom a rule names' do
    is_expected.to contain_file('/etc/etcd-tlsproxy/htpasswd').with_content(sensitive(<<~'FILE'))
      # Managed by Puppet. Changes to this file are lost at the next run.
      conftool:$apr1$saltsalt$8iM8R6C1brtQm7ra1t0Dv0
      root:$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.
    FILE
  end
  it 'opens nothing that nginx refused' do
    is_expected.to contain_file(file).with_content(/^match = "both"$/)
  end
  it 'uses the certificate of that name' do
    is_expected.to contain_file(file)
      .with_content(%r{^certificate = "/etc/ssl/localcerts/etcd.example.org.chained.crt"\nkey = "/etc/ssl/private/etcd.example.org.key"$})
  end
  it 'lets the service read its key' do
    is_expected.to contain_user('etcd-tlsproxy').with('groups' => ['ssl-cert'], 'membership' => 'minimum').that_notifies('Service[etcd-tlsproxy]')
  end
  it 'connects to etcd on loopback' do
    is_expected.to contain_file(file).with_content(%r{^endpoints = \["http://127.0.0.1:2379"\]$}).with_content(/^listen = ":4001"$/)
  end

  context 'with other ports, TLS and read-only' do
    let(:more) { { 'listen_port' => 2380, 'upstream_port' => 2378, 'tls_upstream' => true, 'read_only' => true } }

    it do
      is_expected.to contain_file(file).with_content(%r{^endpoints = \["https://conf1001.example.org:2378"\]$})
                                       .with_content(/^listen = ":2380"$/).with_content(/^read_only = true$/)
    end
  end

  context 'with pools' do
    let(:more) { { 'pools' => { 'eqiad' => ['testserver'] }, 'pool_pwd_seed' => sensitive('sown') } }

    it 'has a rule and a user for each' do
      is_expected.to contain_file(file)
        .with_content(%r{^"/conftool/v1/pools/eqiad/testserver" = \["root", "conftool", "pool-eqiad-testserver"\]$})
      is_expected.to contain_class('etcd_tlsproxy')
        .with_users(sensitive('root' => '$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.', 'conftool' => '$apr1$saltsalt$8iM8R6C1brtQm7ra1t0Dv0',
                              'pool-eqiad-testserver' => '$apr1$saltsalt$4JZHgNZpYoKQDLOuKmTeQ1'))
    end
  end

  context 'with pools and no seed' do
    let(:more) { { 'pools' => { 'eqiad' => ['testserver'] } } }

    it { is_expected.to compile.and_raise_error(/pool-eqiad-testserver needs a password: etcd::autogen_pwd_seed is missing/) }
  end

  context 'with a user who has no password' do
    let(:more) { { 'accounts' => sensitive('root' => 'root-1') } }

    it { is_expected.to compile.and_raise_error(/conftool needs a password: add it to profile::etcd::htpasswd/) }
  end

  context 'with the hash of a user' do
    let(:hash) { "$2y$10$#{'a' * 53}" }
    let(:more) { { 'accounts' => sensitive('root' => 'root-1'), 'hashes' => sensitive('conftool' => hash) } }

    it 'uses it as it is' do
      is_expected.to contain_class('etcd_tlsproxy').with_users(sensitive('root' => '$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.', 'conftool' => hash))
    end
  end

  context 'with the hash of a user of a pool' do
    let(:more) { { 'pools' => { 'eqiad' => ['testserver'] }, 'hashes' => sensitive('pool-eqiad-testserver' => '{SHA}x') } }

    it { is_expected.to contain_class('etcd_tlsproxy').with_users(sensitive('root' => '$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.', 'conftool' => '$apr1$saltsalt$8iM8R6C1brtQm7ra1t0Dv0', 'pool-eqiad-testserver' => '{SHA}x')) }
  end

  context 'with a password and a hash of one user' do
    let(:more) { { 'hashes' => sensitive('conftool' => '{SHA}x') } }

    it { is_expected.to compile.and_raise_error(/conftool: both a password and a hash are given/) }
  end

  context 'with a password in the place of a hash' do
    let(:more) { { 'hashes' => sensitive('conftool' => 'conftool-1') } }

    it { is_expected.to compile.and_raise_error(/\A(?!.*conftool-1).*hashes/m) }
  end

  context 'where a class of the private repository has the passwords' do
    let(:more) { { 'accounts' => sensitive({}) } }
    let(:pre_condition) { "class passwords::etcd { $accounts = { 'root' => 'root-1', 'conftool' => 'conftool-1' } }" }

    it { is_expected.to contain_class('etcd_tlsproxy').with_users(sensitive('root' => '$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.', 'conftool' => '$apr1$saltsalt$8iM8R6C1brtQm7ra1t0Dv0')) }
  end

  context 'where the site has its own way to install certificates' do
    let(:pre_condition) { 'define sslcert::certificate() {}' }

    it { is_expected.to contain_sslcert__certificate('etcd.example.org').that_comes_before('Class[etcd_tlsproxy::config]') }
  end

  context 'with passwords in plain text among the parameters' do
    let(:more) { { 'accounts' => { 'root' => 'hunter2', 'conftool' => 'hunter2' } } }

    it 'fails without repeating them' do
      expect { catalogue }.to raise_error(Puppet::Error) { |error| expect(error.message).not_to include('hunter2') }
    end
  end
end

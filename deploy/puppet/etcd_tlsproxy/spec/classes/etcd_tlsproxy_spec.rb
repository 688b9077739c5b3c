# frozen_string_literal: true

describe 'etcd_tlsproxy' do
  let(:file) { '/etc/etcd-tlsproxy/etcd-tlsproxy.toml' }
  let(:triggers) { '/etc/etcd-tlsproxy/restart-triggers' }
  let(:users) { { 'root' => '$apr1$salt$a', 'conftool' => '$apr1$salt$b' } }
  let(:more) { {} }
  let(:params) do
    {
      'acls' => { '/' => ['root'], '/eventlogging' => [], '/conftool' => %w[root conftool] },
      'users' => sensitive(users), 'certificate' => '/srv/chain.pem', 'key' => '/srv/key.pem'
    }.merge(more)
  end

  it { is_expected.to compile.with_all_deps }
  it { is_expected.to contain_package('etcd-tlsproxy').that_comes_before('Class[etcd_tlsproxy::config]') }

  it 'keeps hashes out of diffs and backups, and from other users of the machine' do
    is_expected.to contain_file('/etc/etcd-tlsproxy/htpasswd')
      .with('owner' => 'root', 'group' => 'etcd-tlsproxy', 'mode' => '0640', 'show_diff' => false, 'backup' => false)
      .with_content(sensitive(<<~FILE))
        # Managed by Puppet. Changes to this file are lost at the next run.
        conftool:$apr1$salt$b
        root:$apr1$salt$a
      FILE
  end

  it 'checks the table after the users were written, and before it is put in place' do
    is_expected.to contain_file(file).that_requires('File[/etc/etcd-tlsproxy/htpasswd]')
                                     .with_validate_cmd(%r{ && /sbin/runuser -u etcd-tlsproxy -- /usr/bin/etcd-tlsproxy check-config --config "\$dir/etcd-tlsproxy.toml"\z})
                                     .with_content(%r{^\[acls\]\n"/" = \["root"\]\n"/conftool" = \["root", "conftool"\]\n"/eventlogging" = \[\]\n})
  end

  it 'reloads for users and rules, and restarts for settings that need it' do
    is_expected.to contain_exec('etcd-tlsproxy reload').with_refreshonly(true).that_subscribes_to("File[#{file}]")
                                                       .that_subscribes_to('File[/etc/etcd-tlsproxy/htpasswd]').that_requires('Service[etcd-tlsproxy]')
    is_expected.to contain_service('etcd-tlsproxy').with('ensure' => 'running', 'enable' => true).that_subscribes_to("File[#{triggers}]")
    subscribed = catalogue.resource('service', 'etcd-tlsproxy')[:subscribe]
    expect([subscribed].flatten.map(&:to_s)).to eq(["File[#{triggers}]"])
  end

  it 'leaves sockets and the backup alone unless it is told' do
    is_expected.not_to contain_service('etcd-tlsproxy.socket')
    is_expected.not_to contain_service('etcd-tlsproxy-backup.timer')
  end

  [true, false].each do |on|
    context "with sockets and backup #{on}" do
      let(:more) { { 'sockets' => on, 'backup' => on } }
      let(:state) { on ? 'running' : 'stopped' }

      it 'frees the ports before it changes their owner, and starts the service last' do
        is_expected.to contain_service('etcd-tlsproxy.socket').with('ensure' => state, 'enable' => on).that_comes_before('Service[etcd-tlsproxy]')
        is_expected.to contain_service('etcd-tlsproxy-admin.socket').with('ensure' => state, 'enable' => on)
        is_expected.to contain_exec('etcd-tlsproxy changes the owner of its ports').that_comes_before('Service[etcd-tlsproxy.socket]')
        is_expected.to contain_service('etcd-tlsproxy-backup.timer').with('ensure' => state, 'enable' => on)
      end
    end
  end

  context 'with files for Prometheus and NRPE' do
    let(:more) { { 'admin' => ':4012', 'listen' => '[::]:4011', 'scrape_file' => '/srv/scrape.yml', 'scrape_host' => 'conf1001.example.org', 'nrpe_file' => '/srv/nrpe.cfg' } }

    it { is_expected.to contain_file('/srv/scrape.yml').with_content(/^- targets: \["conf1001.example.org:4012"\]$/) }
    it { is_expected.to contain_file('/srv/nrpe.cfg').with_content(%r{check_http -I 127.0.0.1 -p 4012 .*https://localhost:4011 }m) }
  end

  context 'with limits of both kinds' do
    let(:more) { { 'limits' => { 'watches' => 50, 'body_bytes' => 2048 } } }

    it { is_expected.to contain_file(file).with_content(/^\[limits\]\nwatches = 50\nbody_bytes = 2048\n/) }
    it { is_expected.to contain_file(triggers).with_content(/^\[limits\]\nwatches = 50\n\z/) }
  end

  context 'with endpoints from DNS' do
    let(:more) { { 'upstream' => { 'srv' => 'example.org' } } }

    it { is_expected.to contain_file(file).with_content(/^\[upstream\]\nsrv = "example.org"\n\n/) }
  end

  context 'with a rule for a user without a password' do
    let(:users) { { 'root' => '$apr1$salt$a' } }

    it { is_expected.to compile.and_raise_error(/users without a password: conftool/) }

    context 'who may have a certificate' do
      let(:more) { { 'tls' => { 'client_ca' => '/srv/ca.pem' } } }

      it { is_expected.to compile }
    end
  end

  ['conftool', '/conftool/', '/a//b', '/a/../b', '/.', "/a\nb", '/a\\b', ''].each do |prefix|
    context "with the prefix #{prefix.inspect}" do
      let(:more) { { 'acls' => { prefix => [] } } }

      it { is_expected.to compile.and_raise_error(/acls/) }
    end
  end

  context 'with unusual prefixes that are valid' do
    let(:more) { { 'acls' => { '/.hidden/..x' => [], '/a b/ü' => [] } } }

    it { is_expected.to compile }
  end

  context 'with a text that is not a valid hash' do
    let(:users) { { 'root' => "hunter2\nadmin:x", 'conftool' => '$apr1$salt$b' } }

    it 'fails without repeating it' do
      expect { catalogue }.to raise_error(Puppet::Error) { |error| expect(error.message).not_to include('hunter2') }
    end
  end
end

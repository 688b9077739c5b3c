# frozen_string_literal: true

# The hashes are those of `openssl passwd -apr1`.
describe 'etcd_tlsproxy::apr1' do
  def secret(text)
    RSpec::Puppet::Sensitive.new(text)
  end

  it 'computes the same hash as openssl' do
    is_expected.to run.with_params(secret('root-1'), 'saltsalt').and_return(secret('$apr1$saltsalt$KHAeIt0nlq6.Mr0q6Xj6Y.'))
  end
  it 'hashes a short salt and a password longer than a digest' do
    is_expected.to run.with_params(secret('a password of more than sixteen bytes'), 'ab').and_return(secret('$apr1$ab$uDhvlaAWXtt1Adg/wca5x0'))
  end
  it 'hashes the bytes of characters outside ASCII' do
    is_expected.to run.with_params(secret('pässwörd'), 'saltsalt').and_return(secret('$apr1$saltsalt$i5XfNxJNeh2E8ljXycZFm0'))
  end
  it 'accepts no password in plain text, which could get into a message' do
    is_expected.to run.with_params('root-1', 'saltsalt').and_raise_error(/expects a Sensitive/)
  end
  it 'accepts no salt that is not valid in a hash' do
    ['', 'nine char', 'ninechars', 'a$b'].each do |salt|
      is_expected.to run.with_params(secret('root-1'), salt).and_raise_error(/expects a match/)
    end
  end
end

# frozen_string_literal: true

describe 'etcd_tlsproxy::toml' do
  it { is_expected.to run.with_params(true).and_return('true') }
  it { is_expected.to run.with_params(4001).and_return('4001') }
  it { is_expected.to run.with_params([]).and_return('[]') }
  it { is_expected.to run.with_params(%w[root conftool]).and_return('["root", "conftool"]') }
  it { is_expected.to run.with_params('write' => [], 'read' => ['root']).and_return('{ "write" = [], "read" = ["root"] }') }
  it 'escapes quotes and control characters' do
    is_expected.to run.with_params("a\"b\\c\nd\u007f").and_return('"a\"b\\\\c\nd\u007F"')
  end
end

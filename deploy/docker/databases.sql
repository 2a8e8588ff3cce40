-- One database and one user for each service: neither can read the other's tables.
create user crm password 'crm';
create database crm owner crm;
revoke connect on database crm from public;
create user notification password 'notification';
create database notification owner notification;
revoke connect on database notification from public;

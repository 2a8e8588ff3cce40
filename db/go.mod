module fixdesk/db

go 1.26.0
